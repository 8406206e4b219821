"""Standings of a sealed suite: ranks and paired differences, and what cannot be compared."""

import json

import numpy as np
import pytest

from tests.spoilt_files import spoilt
from ticketjax.commands.score_sealed import table
from ticketjax.records.statistics import holm, paired_difference, paired_shares
from ticketjax.sharing.standings import (
    Submission,
    read_submission,
    read_submissions,
    standings,
    submission_json,
)
from ticketjax.sharing.suite_scores import Scored, by_group, score_of
from ticketjax.version import VERSION

COMMON = {"suite": "a suite", "list_sha256": "ab" * 32, "ticketjax": VERSION, "epochs": 0}
GROUPS = ("narrow", "wide")


def submission(label, found, after=0.5, **common):
    """Twelve masks, half of them in each group; the first ones are found."""
    masks = {
        f"v2-{i:03}": Scored(GROUPS[i % 2], i < found, 0.25, after + i / 100, i / 12, 1.0)
        for i in range(12)
    }
    return Submission(label, COMMON | common, masks)


def write(directory, *submissions):
    directory.mkdir(exist_ok=True)
    for i, one in enumerate(submissions):
        (directory / f"{i}.json").write_text(json.dumps(submission_json(one)))
    return directory


THREE = (submission("poor", 1, after=0.8), submission("good", 9), submission("also good", 9))


def test_submissions_are_ranked_and_compared_instance_by_instance(tmp_path):
    ranked = standings(read_submissions(write(tmp_path, *THREE)))
    places = [(one.rank, one.label, one.overall.found.hits) for one in ranked]
    assert places == [(1, "also good", 9), (1, "good", 9), (3, "poor", 1)]
    first, second, third = np.arange(12) < np.array([[9], [9], [1]])
    expected = [paired_shares(one, first) for one in (first, second, third)]
    assert [one.difference for one in ranked] == expected
    adjusted = holm(np.array([np.nan, expected[1].p, expected[2].p]))
    np.testing.assert_array_equal([one.p for one in ranked], adjusted)
    for i, group in enumerate(GROUPS):
        assert ranked[2].group_differences[group] == paired_shares(third[i::2], first[i::2])
        assert ranked[2].groups[group].found.hits == third[i::2].sum()


def test_another_measure_ranks_and_another_submission_is_compared_with():
    ranked = standings(THREE, "after", "good")
    assert [(one.rank, one.label) for one in ranked] == [(1, "poor"), (2, "also good"), (2, "good")]
    better = 0.8 + np.arange(12) / 100
    assert ranked[0].difference == paired_difference(better, 0.5 + np.arange(12) / 100)
    assert np.isnan(ranked[2].p) and ranked[1].p == 1
    with pytest.raises(ValueError, match="must be among .*, got 'god'; did you mean 'good'"):
        standings(THREE, against="god")


def test_the_command_prints_tables_and_plain_json(tmp_path, forks):
    write(tmp_path / "scores", *THREE)
    result = forks.command("standings", "--scores=scores", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "a suite, 12 instances, trained for 0 epochs"
    (poor,) = [line for line in lines if line.startswith("3 poor 1 of 12")]
    assert "-67% [-8" in poor and poor.endswith("0.016")
    assert any(line.startswith("wide also good 4 of 6") for line in lines)
    flags = ["--scores=scores", "--by=recall", "--against=good", "--json"]
    result = forks.command("standings", *flags, directory=tmp_path)
    told = json.loads(result.stdout)
    assert (told["by"], told["against"], told["suite"]) == ("recall", "good", "a suite")
    assert [one["label"] for one in told["standings"]] == ["also good", "good", "poor"]
    assert told["standings"][1]["p"] is None


def test_the_table_of_one_submission_has_a_row_of_every_group_and_one_of_all():
    masks = list(THREE[1].masks.values())
    audits = {"narrow": {"overall": 0.75}}
    lines = table(by_group(masks), score_of(masks), audits).splitlines()
    assert lines[0].split()[:2] == ["group", "found"]
    narrow, wide, nothing, overall = lines[1:]
    assert narrow.startswith("narrow  5 of 6 [44%, 97%]") and narrow.endswith("0.75")
    assert wide.startswith("wide    4 of 6 [30%, 90%]") and wide.endswith("-")
    assert overall.startswith("all     9 of 12 [47%, 91%]") and not nothing


def changed(name, value):
    def change(content):
        content["instances"]["v2-003"][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="else"), "1.json: its format is not ticketjax-scores-1"),
        (lambda c: c.update(ticketjax="0.0.1"), "1.json: was made by ticketjax 0.0.1, this is"),
        (lambda c: c.update(label="good"), "1.json: has the label of 0.json, 'good'"),
        (lambda c: c.update(label="a\nb"), "1.json: its label or the suite's name is missing"),
        (lambda c: c.update(epochs=True), "1.json: its label or the suite's name is missing"),
        (lambda c: c.update(epochs=10), "1.json: its --epochs is 10, that of 0.json 0"),
        (lambda c: c.update(list_sha256="cd"), "its list of instances (SHA-256) is cd, that of"),
        (lambda c: c["instances"].pop("v2-003"), "its instances are not those of 0.json"),
        (changed("group", "narrow"), "its instances are not those of 0.json"),
        (changed("recall", 1.5), "1.json: its list of instances is not complete"),
        (changed("recall", float("nan")), "1.json: its list of instances is not complete"),
        (changed("found", 1), "1.json: its list of instances is not complete"),
        (changed("more", 1), "1.json: its list of instances is not complete"),
        (lambda c: c.update(instances=[]), "1.json: its list of instances is not complete"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message, tmp_path):
    write(tmp_path, submission("good", 9), submission("other", 3))
    path = tmp_path / "1.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError) as error:
        read_submissions(tmp_path)
    assert message in str(error.value)


def test_spoilt_files_are_refused_or_read(tmp_path):
    path, rng, refused = tmp_path / "0.json", np.random.default_rng(0), 0
    content = json.dumps(submission_json(THREE[0])).encode()
    for i in range(200):
        path.write_bytes(spoilt(content, i, rng, head=200))
        try:
            read_submission(path)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 100


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--scores: a directory must be given"),
        (["--scores=none"], "--scores=none: is not a directory"),
        (["--scores=empty"], "--scores=empty: empty has no *.json, which score --json writes"),
        (["--scores=scores", "--against=godo"], "--against=godo: must be among "),
    ],
)
def test_bad_flags_are_one_line(flags, message, tmp_path, forks):
    write(tmp_path / "scores", *THREE)
    (tmp_path / "empty").mkdir()
    result = forks.command("standings", *flags, directory=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
