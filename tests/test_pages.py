"""The pages: two carried out in a copy of the repository, the links and names of all."""

import operator
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

import ticketjax
from ticketjax.runs.record import SCHEMA
from ticketjax.seekers.registry import SEEKERS

ROOT = pathlib.Path(__file__).parent.parent
NAME = operator.attrgetter("name")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Links within the repository: the path, which is empty for one within the page, and the anchor.
LINK = re.compile(r"\]\(\s*(?!\w+://)([^)#\s]*)(?:#([^)\s]+))?\)")
WORKED_ON = ("ticketjax", "tests")
CONFIGURATION = ("setup.cfg", "pyproject.toml")


def edit(diff, root):
    """Apply a block of a diff: every hunk must occur once, as in the page."""
    head, *hunks = re.split(r"^@@\n", diff, flags=re.MULTILINE)
    path = root / head.split()[1]
    text = path.read_text()
    for hunk in hunks:
        lines = hunk.splitlines(keepends=True)
        old, new = ("".join(s[1:] for s in lines if s[0] in signs) for signs in (" -", " +"))
        old, new = old.rstrip("\n"), new.rstrip("\n")
        assert text.count(old) == 1, f"{path.name} has not once:\n{old}"
        text = text.replace(old, new)
    path.write_text(text)


def run(command, root):
    name, *rest = shlex.split(command)
    assert name == "python", command
    environment = {**os.environ, "PYTHONPATH": str(root)}
    result = subprocess.run(
        [sys.executable, *rest],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.mark.long
@pytest.mark.parametrize(("page", "passed"), [("adding_a_seeker", 2), ("adding_a_task", 15)])
def test_page_is_followed(page, passed, tmp_path):
    for name in WORKED_ON:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    for name in CONFIGURATION:
        shutil.copy(ROOT / name, tmp_path / name)
    blocks = BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text())
    assert {language for language, _ in blocks} == {"python", "diff", "bash"}
    own, output = {"__name__": page}, ""
    for language, text in blocks:
        path = re.match(r"# (\S+/\S+\.py)\n", text)
        if path:
            assert not (tmp_path / path[1]).exists()
            (tmp_path / path[1]).write_text(text[path.end() :])
        elif language == "python":
            exec(compile(text, f"docs/{page}.md", "exec"), own)
        elif language == "diff":
            edit(text, tmp_path)
        else:
            output += "".join(run(command, tmp_path) for command in text.splitlines())
    assert int(re.search(r"(\d+) passed", output)[1]) >= passed


def test_api_page_has_every_public_name():
    listed = re.findall(r"^::: ([\w.]+)$", (ROOT / "docs/api.md").read_text(), re.MULTILINE)
    assert {name.rpartition(".")[2] for name in listed} >= set(ticketjax.__all__)


def _anchors(page):
    """The anchors of a page's headings, in the form of GitHub and the site."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {each.strip().replace(" ", "-") for each in words}


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")) + [ROOT / "README.md"], ids=NAME)
def test_links_of_a_page_lead_somewhere(page):
    for path, anchor in LINK.findall(page.read_text()):
        there = page.parent / path if path else page
        assert there.exists(), f"{page.name} links to {path}"
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there), f"{page.name} links to {path}#{anchor}"


def test_protocol_has_every_column_of_the_records():
    columns = (ROOT / "docs/protocol.md").read_text().partition("\n## Columns\n")[2]
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]+)\|", columns, re.MULTILINE)))
    assert sorted(named) == sorted(SCHEMA.names)


def test_every_seeker_of_the_registry_has_a_certificate():
    rows = (ROOT / "docs/seekers.md").read_text().partition("\n## Certificates\n")[2]
    cells = [line.strip("|").split("|") for line in rows.splitlines() if "::" in line]
    named = [name.strip() for seekers, _, _ in cells for name in seekers.split(",")]
    assert sorted(named) == sorted(SEEKERS)
    for _, _, test in cells:
        file, function = test.strip(" `").split("::")
        assert f"\ndef {function}(" in (ROOT / "tests" / file).read_text()
