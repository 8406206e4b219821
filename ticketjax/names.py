"""Names: suggestions for mistyped ones, and how they become file names."""

import difflib
import hashlib
import re
from collections.abc import Iterable


def suggestion(given: object, allowed: Iterable[str]) -> str:
    """The end of a refusal: "; did you mean ...?", or nothing where no allowed name is close.

    A name is close if it differs in case or in few letters, or begins with what was given.

    >>> suggestion("mag", ["random", "magnitude"])
    "; did you mean 'magnitude'?"
    >>> suggestion("nosuch", ["relu", "circle"])
    ''
    """
    text = str(given).casefold()
    names = {name.casefold(): name for name in allowed}
    begun = [name for name in names if text and name.startswith(text)]
    near = begun or difflib.get_close_matches(text, names, n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""


# A file name has 255 bytes at most, of which a character may take four; a suffix comes on top.
LONGEST = 60


def file_name(label: str) -> str:
    """The label as a file name without a suffix, of at most 60 characters.

    Other characters than letters, digits, ".", "-" and "_" become "_". The end of a longer name is
    replaced by eight digits of its hash, so that different labels keep different names.

    >>> file_name("refined(snip, rounds=3)"), len(file_name("x" * 300))
    ('refined_snip_rounds_3', 60)
    >>> file_name("x" * 300) == file_name("x" * 301)
    False
    """
    name = re.sub(r"[^\w.-]+", "_", label).strip("_.")
    if len(name) <= LONGEST:
        return name
    digits = hashlib.sha256(label.encode()).hexdigest()[:8]
    return f"{name[: LONGEST - 9]}-{digits}"
