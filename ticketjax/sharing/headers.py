"""Order the header of a safetensors file, so that equal contents give equal files."""

import json

_LENGTH = 8
METADATA = "__metadata__"


def in_order(content: bytes) -> bytes:
    """Order the metadata of a safetensors file by name.

    The safetensors library writes them in an arbitrary order.

    Args:
        content: the bytes of a whole file.

    Returns:
        The bytes of a file with the same arrays and metadata.

    Source: the format, https://github.com/huggingface/safetensors: the header's length as 8 bytes,
    its JSON, then the arrays, whose offsets count from the end of the header.
    """
    end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH:end])
    if METADATA in header:
        header[METADATA] = dict(sorted(header[METADATA].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    return len(text).to_bytes(_LENGTH, "little") + text + content[end:]
