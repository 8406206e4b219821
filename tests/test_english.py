"""The English of the pages: a short README of short sentences, and no phrase that was mended."""

import operator
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
MOST_WORDS, MOST_LINES = 30, 150
PAGES = [*sorted(ROOT.glob("docs/*.md")), README, ROOT / "BUILD.md", ROOT / "CHANGELOG.md"]
# Phrases that were replaced before: idioms of another language, riddles, personified code.
MENDED = (
    r"\bbesides[,.;]",
    r"\bbetray",
    r"\bfor want of\b",
    r"\bgo(es)? on\b",
    r"\bone's own\b",
    r"\bso many\b",
    r"\bsomebody\b",
    r"\btells? apart\b",
    r"\btold apart\b",
    r"\bwhat is finished\b",
    r"\bwhat was stopped\b",
    r"\bwherever a name goes\b",
    r"\bwhoever\b",
    r"\bwithout a network\b",
)


def sentences(text):
    """The sentences of a Markdown page outside of code: of its paragraphs, points and cells."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    blocks = re.split(r"\n\s*\n|\n(?=[-|#])|\|", text)
    found = (
        " ".join(each.split()) for block in blocks for each in re.split(r"(?<=[.!?])\s", block)
    )
    return [each for each in found if each]


def too_long(text):
    return [each for each in sentences(text) if len(each.split()) > MOST_WORDS]


def test_sentences_are_told_apart():
    text = "One [two](three.md) four.\nFive. Six\n\n- Seven\n- Eight. Nine\n\n| a | b. c |\n"
    assert sentences(text) == "One two four./Five./Six/- Seven/- Eight./Nine/a/b./c".split("/")


def test_long_sentences_are_told_but_for_code():
    words = "word " * (MOST_WORDS + 1)
    assert too_long(f"{words}\n\n```\n{words}\n```\n\nShort.\n") == [words.strip()]


def test_readme_is_short():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert too_long(text) == []


def mended(text):
    """The phrases of a Markdown page, outside of code, that were mended before."""
    text = "\n".join(sentences(text))
    return [found[0] for phrase in MENDED for found in re.finditer(phrase, text, re.IGNORECASE)]


def test_mended_phrases_are_found_over_ends_of_lines():
    text = "It goes\non. Whoever asks.\n\n```\nso many\n```\n"
    assert mended(text) == ["goes on", "Whoever"]


@pytest.mark.parametrize("page", PAGES, ids=operator.attrgetter("name"))
def test_page_has_no_mended_phrase(page):
    assert mended(page.read_text(encoding="utf-8")) == []
