"""Text in columns, as all tables on the terminal and in files are written."""

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells with every column as wide as its longest cell.

    Args:
        lines: equally many cells each; at least one line.

    Returns:
        A text per line, without spaces at its end.

    >>> aligned([["seeker", "recall"], ["snip", "0.1"]])
    ['seeker  recall', 'snip    0.1']
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
