"""The suite's description for catalogues: what venues require, and what mlcroissant checks."""

import json

import pytest

from ticketjax.sharing import croissant
from ticketjax.sharing.sealed import Entry

ENTRIES = {
    f"v2-00{i}": Entry("regression", 1, 1, 3, 5, 4 + i, f"{i}" * 64, f"{9 - i}" * 64)
    for i in range(3)
}
# Required by the core (1.1) and by the RAI extension, with provenance.
REQUIRED = (
    *("@context", "@type", "dct:conformsTo", "name", "description", "license", "url", "creator"),
    *("datePublished", "version", "citeAs", "distribution", "recordSet"),
    *("rai:dataLimitations", "rai:dataBiases", "rai:personalSensitiveInformation"),
    *("rai:dataUseCases", "rai:dataSocialImpact", "rai:hasSyntheticData"),
    *("prov:wasDerivedFrom", "prov:wasGeneratedBy"),
)
# Without a prefix: schema.org's, and those that the context maps to Croissant.
SCHEMA = {
    *("name", "description", "license", "url", "version", "datePublished", "creator", "keywords"),
    *("distribution", "contentUrl", "encodingFormat", "sha256"),
}


@pytest.fixture
def described():
    made = croissant.croissant(ENTRIES, "a" * 64, "2026-01-31", "https://example.org/suite")
    return json.loads(json.dumps(made))


def walk(value):
    if isinstance(value, dict):
        yield value
        for entry in value.values():
            yield from walk(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from walk(entry)


def test_all_that_venues_require_is_said(described):
    assert [name for name in REQUIRED if not described.get(name)] == []
    assert described["url"] == "https://example.org/suite"
    assert described["dct:conformsTo"][0] == "http://mlcommons.org/croissant/1.1"
    unpublished = croissant.croissant(ENTRIES, "a" * 64, "2026-01-31", None)
    assert unpublished["url"] == "urn:sha256:" + "a" * 64


def test_every_key_is_of_a_known_vocabulary(described):
    context = described.pop("@context")
    known = SCHEMA | {key for key in context if not key.startswith("@")}
    for block in walk(described):
        for key in block:
            prefix, _, rest = key.rpartition(":")
            assert key.startswith("@") or (prefix in context if rest and prefix else key in known)


def test_every_file_and_every_field_is_there(described):
    files = {one["@id"]: one["sha256"] for one in described["distribution"]}
    assert files == {
        "suite.json": "a" * 64,
        **{f"{name}.safetensors": entry.sha256 for name, entry in ENTRIES.items()},
    }
    (records,) = described["recordSet"]
    ids = [field["@id"].removeprefix("instances/") for field in records["field"]]
    assert ids == ["name", *Entry._fields]
    for field in records["field"]:
        assert field["source"]["fileObject"]["@id"] in files
        assert field["source"]["extract"]["jsonPath"].endswith(f".{field['name']}")


# Warnings of mlcroissant and its dependencies are ignored.
@pytest.mark.filterwarnings("ignore")
def test_mlcroissant_finds_nothing_wrong(described, tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant")
    path = tmp_path / "croissant.json"
    path.write_text(json.dumps(described))
    issues = mlcroissant.Dataset(jsonld=str(path)).metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    # It notices what is missing.
    del described["license"]
    described["distribution"][1].pop("sha256")
    path.write_text(json.dumps(described))
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(jsonld=str(path))
