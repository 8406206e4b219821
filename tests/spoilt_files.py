"""Damaged files: cut short, or with one bit flipped."""


def spoilt(content, number, rng, head):
    """One version of a file's content: cut, with a bit flipped, or with one flipped in its head.

    Args:
        content: bytes.
        number: which of the three, modulo 3.
        rng: NumPy's random generator.
        head: how many bytes the head has.
    """
    if number % 3 == 0:
        return content[: rng.integers(len(content))]
    changed = bytearray(content)
    most = len(content) if number % 3 == 1 else min(head, len(content))
    changed[rng.integers(most)] ^= 1 << rng.integers(8)
    return bytes(changed)
