"""The English of the pages: a short README of short sentences, and no phrase that was mended."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
MOST_WORDS, MOST_LINES = 30, 150


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
