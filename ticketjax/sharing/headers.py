"""The header of a safetensors file in one order, so that equal contents are equal files."""

import json

_LENGTH = 8
METADATA = "__metadata__"


def in_order(content: bytes) -> bytes:
    """A whole safetensors file, its metadata ordered by name.

    The library writes them in an order of chance.

    Args:
        content: of the file.

    Returns:
        The same arrays and metadata.

    Source: the format, https://github.com/huggingface/safetensors: the header's length as 8 bytes,
    its JSON, then the arrays, whose places count from the header's end.
    """
    end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH:end])
    if METADATA in header:
        header[METADATA] = dict(sorted(header[METADATA].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    return len(text).to_bytes(_LENGTH, "little") + text + content[end:]
