"""The Croissant description of a suite, which catalogues of data sets read."""

import pathlib
from collections.abc import Mapping
from typing import Any

from ticketjax.sharing.instances import SUFFIX
from ticketjax.sharing.sealed import PUBLIC, SUITE_FILE, Entry, file_hash, write_json
from ticketjax.sharing.suite_v2 import NAME
from ticketjax.version import VERSION

CROISSANT_FILE = "croissant.json"
CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
LICENSE = "https://www.apache.org/licenses/LICENSE-2.0"
PLANT_AND_SEEK = "https://arxiv.org/abs/2111.11153"
# The context from the specification, with the vocabularies of responsible AI and provenance.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "prov": "http://www.w3.org/ns/prov#",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
    **{
        name: f"cr:{name}"
        for name in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract"),
            *("field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray"),
            *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
            *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source"),
            *("subField", "transform"),
        )
    },
}
FIELDS = {
    "name": ("sc:Text", "Name of the instance; its file is NAME.safetensors."),
    "kind": ("sc:Text", "regression or classification."),
    "inputs": ("sc:Integer", "Inputs of the network."),
    "outputs": ("sc:Integer", "Outputs of the network, or classes."),
    "depth": ("sc:Integer", "Layers of neurons, including the input."),
    "width": ("sc:Integer", "Neurons in every hidden layer."),
    "budget": ("sc:Integer", "The largest number of parameters that a mask may keep."),
    "sha256": ("sc:Text", "SHA-256 of the instance's file."),
    "sealed_sha256": ("sc:Text", "SHA-256 of the sealed file that the organiser keeps."),
}
RESPONSIBLE = {
    "rai:dataLimitations": (
        "Synthetic tasks of 1 to 8 inputs and dense ReLU networks of at most 5 layers and 100 "
        "neurons per layer. An algorithm that finds these tickets need not prune large trained "
        "networks well. The planted number of parameters is an upper bound of what is needed. "
        "Tickets are hidden from statistics of sizes, but not from every statistic: the "
        "organiser's list contains the measured leaks."
    ),
    "rai:dataBiases": (
        "Tickets follow the distributions that the datasheet names, which favours pruners that "
        "assume these distributions. Two of eleven groups have the structure of hand-made tickets."
    ),
    "rai:personalSensitiveInformation": "None: all numbers are drawn at random.",
    "rai:dataUseCases": (
        "Measuring whether pruning algorithms find sparse subnetworks that are known to exist. Not "
        "suitable for training models, or for ranking algorithms by a single number."
    ),
    "rai:dataSocialImpact": (
        "None directly. Better pruning makes networks cheaper to run, for any purpose."
    ),
    "rai:hasSyntheticData": True,
    "rai:dataCollection": (
        "Drawn by `ticketjax plant --suite=v2` from a secret, by HMAC-SHA256 and SHAKE-256."
    ),
    "rai:dataCollectionType": "Software Collection",
    "rai:dataReleaseMaintenancePlan": (
        "Instances never change; errors are corrected in a suite of another version. The "
        "organiser of the suite keeps the sealed folder and scores masks."
    ),
}


def croissant(
    entries: Mapping[str, Entry], suite_sha256: str, date: str, url: str | None
) -> dict[str, Any]:
    """The Croissant 1.1 description of a suite's public part, with the RAI fields.

    Args:
        entries: the instances by name.
        suite_sha256: hash of the list, suite.json.
        date: of publication, YYYY-MM-DD.
        url: the address of the published suite; None to use the hash of its list instead.

    Returns:
        JSON-LD.

    Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html and
    croissant-rai-spec.html on the same site.
    """

    def file_object(name: str, encoding: str, sha256: str) -> dict[str, str]:
        return {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "encodingFormat": encoding,
            "sha256": sha256,
        }

    def field(name: str, data_type: str, description: str) -> dict[str, Any]:
        source = {"fileObject": {"@id": SUITE_FILE}, "extract": {"jsonPath": _path(name)}}
        return {
            "@type": "cr:Field",
            "@id": f"instances/{name}",
            "name": name,
            "description": description,
            "dataType": data_type,
            "source": source,
        }

    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "dct:conformsTo": list(CONFORMS_TO),
        "name": NAME,
        "description": (
            f"{len(entries)} random dense ReLU networks with training data. Each contains a hidden "
            "sparse network that solves its data. The task is to find masks that keep at most "
            "`budget` parameters. The planted masks and the held-out data are sealed; their hashes "
            "are in suite.json."
        ),
        "license": LICENSE,
        "url": url or f"urn:sha256:{suite_sha256}",
        "version": "2.0.0",
        "datePublished": date,
        "creator": {"@type": "sc:Organization", "name": "The ticketjax authors"},
        "keywords": ["pruning", "lottery ticket", "sparsity", "benchmark"],
        "citeAs": (
            "@software{ticketjax, author={{The ticketjax authors}}, title={ticketjax: planted "
            f"lottery tickets in JAX}}, version={{{VERSION}}}, note={{{NAME}}}}}"
        ),
        "isLiveDataset": False,
        **RESPONSIBLE,
        "prov:wasDerivedFrom": {"@id": PLANT_AND_SEEK},
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": f"ticketjax {VERSION}: plant --suite=v2, and the organiser's secret",
        },
        "distribution": [
            file_object(SUITE_FILE, "application/json", suite_sha256),
            *(
                file_object(f"{name}{SUFFIX}", "application/octet-stream", entry.sha256)
                for name, entry in sorted(entries.items())
            ),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "instances",
                "name": "instances",
                "description": "One record for each instance.",
                "key": {"@id": "instances/name"},
                "field": [field(name, *known) for name, known in FIELDS.items()],
            }
        ],
    }


def _path(name: str) -> str:
    return f"$.instances[*].{name}"


def write(
    directory: pathlib.Path, entries: Mapping[str, Entry], date: str, url: str | None = None
) -> None:
    """Write croissant.json next to the list of a finished suite.

    Args:
        directory: of the suite.
        entries, date, url: as in croissant().

    Raises:
        OSError: it cannot be written.
    """
    suite_sha256 = file_hash(directory / PUBLIC / SUITE_FILE)
    described = croissant(entries, suite_sha256, date, url)
    write_json(directory / PUBLIC / CROISSANT_FILE, described)
