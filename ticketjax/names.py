"""Suggestions for mistyped names."""

import difflib
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
