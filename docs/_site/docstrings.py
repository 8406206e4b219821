"""For the site alone: docstrings as they stand in the code, in Markdown."""

import re
from typing import Any

import griffe

ENTRY = re.compile(r"(\*{0,2}\w+\*?(?: to \w+)?(?:, \*{0,2}\w+\*?)*):(?: |$)(.*)")


def markdown(text: str) -> str:
    """Lists of the lines "name: meaning" and fences around examples, which Markdown has not."""
    blocks = re.split(r"\n\s*\n", text)
    return "\n\n".join(_block(block) for block in blocks)


def _block(block: str) -> str:
    lines = block.splitlines()
    if lines[0].lstrip().startswith(">>>"):
        return "\n".join(["```pycon", *lines, "```"])
    first = next((i for i, line in enumerate(lines) if ENTRY.match(line)), None)
    # A sentence may well hold a colon: a list has nothing but entries, or follows another line.
    if first is None or lines[first].split(":")[0] in ("Args", "Returns", "Raises"):
        return block
    items = []
    for line in lines[first:]:
        entry = ENTRY.match(line)
        if entry:
            items.append(f"- `{entry[1]}`: {entry[2]}")
        else:
            items.append(f"    {line.strip()}")
    return "\n".join([*lines[:first], *([""] if first else []), *items])


class Docstrings(griffe.Extension):
    """Rewrites every docstring before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Once for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)
