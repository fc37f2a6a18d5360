"""The two places where devp2p wants bytes after an RLP item overlooked: handshake padding and discovery packets (EIP-8).

Everywhere else bytes after an item are an error, and `lacnode.primitives.rlp` is the reader.
"""

from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpItem

_MAX_HEADER_BYTES = 9


def item_size(data: bytes) -> int:
    """Bytes of the RLP item that `data` starts with, by its header alone: it may be more than `data` holds.

    RlpError if `data` is empty or ends inside the header.
    """
    if not data:
        raise RlpError("an RLP item was expected, found no bytes")
    first = data[0]
    if first < 0x80:
        return 1
    base = 0x80 if first < 0xC0 else 0xC0
    if first - base < 56:
        return 1 + first - base
    width = first - base - 55
    if len(data) <= width:
        raise RlpError("malformed RLP: ends inside a length")
    return 1 + width + int.from_bytes(data[1 : 1 + width])


def decode_first_list(data: bytes, what: str) -> list[RlpItem]:
    """The list that `data` starts with, whatever follows it. RlpError naming `what` if there is none."""
    return rlp.decode_list(data[: item_size(data[:_MAX_HEADER_BYTES])], what)
