"""The sealed suite: what is public says nothing, what is sealed is what was published."""

import hashlib
import json
import pathlib
import platform
import shutil

import jax
import numpy as np
import pytest

from tests import processes
from tests.oracles.forward import forward, masked
from tests.spoilt_files import spoilt
from ticketjax.commands.plant_sealed import plant_sealed
from ticketjax.records.store import load_records
from ticketjax.sharing import instances, sealed, suite_v2, trees
from ticketjax.sharing.exact_draws import uniform
from ticketjax.sharing.standings import read_submission
from ticketjax.sharing.suite_v2 import Group
from ticketjax.tasks.random_teacher import RandomTeachers

SECRET = bytes(range(32))
GROUPS = (
    Group("two_knots", RandomTeachers(1, 1, (2,), 6, "regression"), "regression", 6, 6, 60, 50),
    Group(
        "three_knots",
        RandomTeachers(2, 2, (3,), 14, "classification"),
        "classification",
        8,
        5,
        60,
        50,
    ),
)
NAMES = [f"v2-{i:03}" for i in range(11)]
# As made on every machine: the arrays' hashes, of the public half and of the sealed one.
PUBLISHED = {
    "two_knots": (
        "77c91ccf6b6d7cc5bc0d7693f67488984586c185afb4dbedfad58f7268b4bbf5",
        "ce944e67b38af0070ec7822e5f8f726ecdc34eb1415d0f037a7b83bb6f20373c",
    ),
    "three_knots": (
        "3e2592da13d80aec6c5390397f453b701245ef4797096f07b7e611962c67d6cb",
        "7a7d4655169bfe3776b1b977be32c28269b462d45bd306da2c15d6e27069892d",
    ),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sealed") / "suite"
    assert plant_sealed(SECRET, directory, GROUPS) == 0
    (directory.parent / "secret").write_bytes(SECRET)
    return directory


@pytest.fixture
def copy(suite, tmp_path):
    """A copy that may be spoilt, and the planted masks as a submission."""
    shutil.copytree(suite, tmp_path / "suite")
    shutil.copy(suite.parent / "secret", tmp_path / "secret")
    (tmp_path / "masks").mkdir()
    for name in NAMES:
        tree, _ = trees.load_tree(suite / "sealed" / f"{name}.safetensors")
        trees.save_tree(tmp_path / "masks" / f"{name}.safetensors", tree["mask"])
    return tmp_path


def files(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def both(suite, name):
    return [
        trees.load_tree(suite / part / f"{name}.safetensors") for part in ("instances", "sealed")
    ]


def test_public_files_hold_parameters_data_budget_and_kind_alone(suite):
    assert sorted(path.name for path in (suite / "instances").iterdir()) == [
        "croissant.json",
        "suite.json",
        *(f"{name}.safetensors" for name in NAMES),
    ]
    public = b"".join(files(suite / "instances").values())
    for name in NAMES:
        (tree, said), (hidden, kept) = both(suite, name)
        assert set(tree) == {"params", "train"}
        assert set(said) == {"format", "kind", "budget", "sha256"}
        assert set(hidden) == {"mask", "target", "output_scale", "held_out"}
        count = sum(int(leaf.sum()) for leaf in jax.tree.leaves(hidden["mask"]))
        assert int(said["budget"]) == count == (14 if said["kind"] == "classification" else 6)
        key = bytes.fromhex(kept["key"])
        assert len(key) == 32
        for clue in (key, kept["key"].encode(), kept["group"].encode(), SECRET):
            assert clue not in public
        held_out = hidden["held_out"]["x"]
        assert held_out.shape[0] == 10 and tree["train"]["x"].shape[0] == 50
        assert not np.isin(held_out, tree["train"]["x"]).all(axis=1).any()


def test_tickets_are_planted_exactly_and_solve_their_data(suite):
    for name in NAMES:
        (tree, said), (hidden, kept) = both(suite, name)
        for data in (tree["train"], hidden["held_out"]):
            network = masked(tree["params"], hidden["mask"])
            found = forward(network, data["x"]) * float(hidden["output_scale"])
            wanted = forward(hidden["target"], data["x"])
            np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
            if said["kind"] == "regression":
                assert 0.2 < np.std(data["y"] - wanted) / float(kept["noise"]) < 2
            else:
                assert np.mean(data["y"] != wanted.argmax(axis=1)) < 0.2
    groups = json.loads((suite / "sealed" / "sealed.json").read_text())["groups"]
    assert {name: len(names) for name, names in groups.items()} == {
        "two_knots": 6,
        "three_knots": 5,
    }
    # Numbers are dealt: no group comes first.
    assert groups["two_knots"] != NAMES[:6]


def hashes(secret, group):
    made = suite_v2.make_group(secret, group, suite_v2.names_of(secret, GROUPS)[group.name])
    return tuple(
        instances.content_hash({one.name: getattr(one, half) for one in made})
        for half in ("instance", "sealed")
    )


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_bits_are_those_of_every_machine_and_the_secrets_own(group):
    assert hashes(SECRET, group) == PUBLISHED[group.name]
    others = hashes(SECRET[::-1], group)
    assert not set(others) & set(PUBLISHED[group.name])


LESSER_MACHINE = {
    "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
}
HASHES = """
from tests import test_sealed_suite as tests
for group in tests.GROUPS:
    assert tests.hashes(tests.SECRET, group) == tests.PUBLISHED[group.name]
"""


@pytest.mark.long
@pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86-64")
def test_bits_are_those_of_lesser_machines(tmp_path):
    result = processes.python("-c", HASHES, directory=tmp_path, **LESSER_MACHINE)
    assert result.returncode == 0, result.stderr


def test_scales_of_planted_parameters_have_few_bits(suite):
    for name in NAMES:
        scale = np.float64(both(suite, name)[1][0]["output_scale"])
        significand, _ = np.frexp(scale)
        assert significand * 2**17 % 1 == 0


def test_neurons_are_chosen_by_the_secret_and_not_by_what_is_public(suite):
    for name in NAMES:
        (tree, _), (hidden, kept) = both(suite, name)
        planted = hidden["mask"]["layer_0"]["kernel"].any(axis=0)
        lots = uniform(bytes.fromhex(kept["key"]), "lots/layer_0", planted.shape)
        assert set(np.flatnonzero(planted)) == set(np.argsort(lots)[: planted.sum()])


def test_what_is_missing_is_made_again_and_the_same(suite, copy):
    there = copy / "suite"
    whole = files(there)
    (there / "instances" / "suite.json").unlink()
    (there / "instances" / "v2-000.safetensors").unlink()
    cut = there / "sealed" / "v2-003.safetensors"
    cut.write_bytes(cut.read_bytes()[:-5])
    assert plant_sealed(SECRET, there, GROUPS) == 0
    assert files(there) == whole


def test_the_audit_is_kept_with_what_is_sealed(suite):
    audits = json.loads((suite / "sealed" / "sealed.json").read_text())["audits"]
    for audit in audits.values():
        assert len(audit["layers"]) == 2
        assert 0 <= audit["overall"] <= audit["largest"] <= 1
        assert 0 <= audit["known_rows"] <= 1
    assert "audit" not in (suite / "instances" / "suite.json").read_text()


def test_masks_are_scored_by_group_with_intervals(copy, forks):
    # Of two instances, nothing is kept but one parameter.
    for name in NAMES[:2]:
        path = copy / "masks" / f"{name}.safetensors"
        mask, _ = trees.load_tree(path)
        mask = jax.tree.map(np.zeros_like, mask)
        mask["layer_0"]["kernel"][0, 0] = True
        trees.save_tree(path, mask)
    flags = ["--instance=suite/instances", "--sealed=suite/sealed", "--mask=masks", "--epochs=0"]
    flags += ["--out=results", "--label=mine", "--json"]
    result = forks.command("score", *flags, directory=copy)
    assert result.returncode == 0, result.stderr
    records = load_records(copy / "results").to_pylist()
    assert sorted({row["task"] for row in records}) == ["three_knots", "two_knots"]
    assert sum(row["found"] for row in records) == 9
    assert sum(row["recall"] == 1 for row in records) == 9
    told = json.loads(result.stdout)["all"]["found"]
    assert (told["hits"], told["of"]) == (9, 11)
    assert (told["low"], told["high"]) == pytest.approx((0.52, 0.95), abs=0.005)
    (copy / "mine.json").write_text(result.stdout)
    read = read_submission(copy / "mine.json")
    assert read.label == "mine" and sorted(read.masks) == NAMES
    assert [name for name, mask in read.masks.items() if not mask.found] == NAMES[:2]
    listed = (copy / "suite" / "instances" / "suite.json").read_bytes()
    assert read.common["list_sha256"] == hashlib.sha256(listed).hexdigest()


def test_seekers_find_masks_of_the_budget(copy, forks):
    result = forks.command(
        "seek", "--instance=suite/instances", "--seekers=magnitude", "--out=found", directory=copy
    )
    assert result.returncode == 0, result.stderr
    for name in NAMES:
        mask, _ = trees.load_tree(copy / "found" / "magnitude" / f"{name}.safetensors")
        budget = both(copy / "suite", name)[0][1]["budget"]
        assert sum(int(leaf.sum()) for leaf in jax.tree.leaves(mask)) == int(budget)


def flip(path, place=-3):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def swap(a, b):
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)


def keep_all(path):
    mask, _ = trees.load_tree(path)
    trees.save_tree(path, jax.tree.map(np.ones_like, mask))


def listed(copy, change):
    path = copy / "suite" / "instances" / "suite.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


ONE = "v2-004.safetensors"


@pytest.mark.parametrize(
    ("change", "flags", "message"),
    [
        (None, None, "--sealed: the folder with the masks and held-out data of suite/instances is"),
        (None, ["--sealed=suite/sealed", "--answer=a"], "--answer: the answers of a sealed suite"),
        (None, ["--sealed=suite/instances"], "--sealed=suite/instances: suite/instances/v2-000"),
        (
            lambda c: flip(c / "suite/sealed" / ONE),
            [],
            f"suite/sealed/{ONE}: was altered; its SHA-256",
        ),
        (
            lambda c: flip(c / "suite/instances" / ONE),
            [],
            f"instances/{ONE}: was altered; its SHA-256",
        ),
        (lambda c: (c / "suite/sealed" / ONE).unlink(), [], f"suite/sealed: has no {ONE}"),
        (lambda c: (c / "suite/instances" / ONE).unlink(), [], f"suite/instances: has no {ONE}"),
        (
            lambda c: swap(c / "suite/sealed" / ONE, c / "suite/sealed/v2-005.safetensors"),
            [],
            f"suite/sealed/{ONE}: was altered",
        ),
        (lambda c: (c / "masks" / ONE).unlink(), [], f"--mask=masks: has none for {ONE}"),
        (
            lambda c: shutil.copy(c / "masks" / ONE, c / "masks/mine.safetensors"),
            [],
            "--mask=masks: is for no instance: mine.safetensors",
        ),
        (lambda c: keep_all(c / "masks" / ONE), [], "parameters, the budget is"),
        (
            lambda c: trees.save_tree(c / "masks" / ONE, {"a": {"kernel": np.ones((2, 2))}}),
            [],
            f"masks/{ONE}: the mask has 1 layers, the network 2",
        ),
        (lambda c: flip(c / "masks" / ONE, 9), [], f"--mask=masks: masks/{ONE}"),
        (lambda c: listed(c, lambda v: v["instances"][0].pop("budget")), [], "is not complete"),
        (
            lambda c: listed(c, lambda v: v["instances"][0].update(name="../secret")),
            [],
            "its list of instances is not complete",
        ),
        (
            lambda c: listed(c, lambda v: v.update(format="else")),
            [],
            "--sealed: --instance=suite/instances is not a sealed suite",
        ),
        (None, ["--sealed=suite/sealed", "--out=suite"], "contains something other than records"),
    ],
)
def test_what_is_altered_missing_or_foreign_is_one_line(change, flags, message, copy, forks):
    if change:
        change(copy)
    before = files(copy)
    flags = [] if flags is None else flags or ["--sealed=suite/sealed"]
    given = ["--instance=suite/instances", "--mask=masks", *flags]
    result = forks.command("score", *given, directory=copy)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert files(copy) == before


@pytest.mark.parametrize(
    ("change", "flags", "message"),
    [
        (None, [], "--secret: a sealed suite needs a file of at least 32 random bytes"),
        (None, ["--secret=none"], "--secret=none: No such file"),
        (None, ["--secret=suite"], "--secret=suite: Is a directory"),
        (
            lambda c: (c / "secret").write_bytes(b"short"),
            ["--secret=secret"],
            "must be at least 32 random bytes, got 5",
        ),
        (
            lambda c: flip(c / "secret", 0),
            ["--secret=secret"],
            "--out=suite: the suite in suite was begun with another secret",
        ),
        (
            lambda c: (c / "suite/sealed/begun.json").unlink(),
            ["--secret=secret"],
            "--out=suite: suite contains something other than a suite",
        ),
        (
            lambda c: (c / "suite/sealed/begun.json").write_text("{"),
            ["--secret=secret"],
            "begun.json is not complete JSON",
        ),
        (None, ["--secret=secret", "--depth=3"], "--depth: --suite=v2 says it"),
        (None, ["--secret=secret", "--suite=v1"], "--secret: is for --suite=v2"),
    ],
)
def test_what_makes_no_suite_is_one_line(change, flags, message, copy, forks):
    if change:
        change(copy)
    before = files(copy)
    result = forks.command("plant", "--suite=v2", "--out=suite", *flags, directory=copy)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert files(copy) == before


def test_a_suite_of_another_version_is_not_continued(copy):
    path = copy / "suite" / "sealed" / "begun.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ticketjax": "0.0.1"}))
    with pytest.raises(ValueError, match="was begun by ticketjax 0.0.1"):
        sealed.begin(copy / "suite", SECRET)


def rewritten(path, **metadata):
    """Other metadata, and what is a whole file again."""
    tree, said = trees.load_tree(path)
    trees.save_tree(path, tree, {k: v for k, v in (said | metadata).items() if v is not None})


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "ticketjax-instance-1"}, "its format is 'ticketjax-instance-1'"),
        ({"kind": "else"}, "kind must be regression or classification"),
        ({"budget": "0"}, "budget must be a whole number from 1"),
        ({"budget": None}, "budget must be a whole number from 1"),
        ({"sha256": "0"}, "its content is not what its sha256 says"),
    ],
)
def test_what_is_no_public_instance_is_refused(metadata, message, copy):
    path = copy / "suite" / "instances" / ONE
    rewritten(path, **metadata)
    with pytest.raises(ValueError, match=message) as error:
        sealed.read_open(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"instance_sha256": "0"}, "its instance_sha256 is '0'"),
        ({"noise": "nan"}, "its noise or group is missing"),
        ({"noise": "x"}, "could not convert"),
        ({"group": None}, "its noise or group is missing"),
        ({"sha256": "0"}, "its content is not what its sha256 says"),
    ],
)
def test_what_is_not_sealed_is_refused(metadata, message, copy):
    opened = sealed.read_open(copy / "suite" / "instances" / ONE)
    path = copy / "suite" / "sealed" / ONE
    rewritten(path, **metadata)
    with pytest.raises(ValueError, match=message) as error:
        sealed.read_sealed(path, opened)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("part", ["instances", "sealed"])
def test_spoilt_files_are_refused_or_whole(part, copy):
    public = copy / "suite" / "instances" / ONE
    path = pathlib.Path(copy / "suite" / part / ONE)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for i in range(60):
        path.write_bytes(spoilt(content, i, rng, head=600))
        try:
            opened = sealed.read_open(public)
            if part == "sealed":
                sealed.read_sealed(path, opened)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 40


def test_the_catalogues_description_is_of_these_files(suite):
    described = json.loads((suite / "instances" / "croissant.json").read_text())
    files = {one["contentUrl"]: one["sha256"] for one in described["distribution"]}
    assert set(files) == {"suite.json", *(f"{name}.safetensors" for name in NAMES)}
    for name, sha256 in files.items():
        content = (suite / "instances" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
