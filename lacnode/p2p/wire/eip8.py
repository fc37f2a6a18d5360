"""The reader for the two places where bytes after an RLP item are ignored (EIP-8): handshakes and discovery packets.

Must not be used elsewhere: there, bytes after an item are an error, and `lacnode.primitives.rlp` is the reader.
"""

from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpItem

_MAX_HEADER_BYTES = 9


def item_size(data: bytes) -> int:
    """Return the length in bytes of the RLP item at the beginning of `data`, header included. Only the header is read:
    `data` may end before the item does. RlpError if `data` is empty or ends inside the header."""
    if not data:
        raise RlpError("an RLP item was expected, found no bytes")
    first = data[0]
    if first < 0x80:
        return 1
    # Strings and lists have the same layout, with lists 0x40 higher. Up to 55 bytes, the first byte holds the length
    # itself.
    base = 0x80 if first < 0xC0 else 0xC0
    if first - base < 56:
        return 1 + first - base
    # A longer item has the length of its length in the first byte.
    width = first - base - 55
    if len(data) <= width:
        raise RlpError("malformed RLP: ends inside a length")
    return 1 + width + int.from_bytes(data[1 : 1 + width])


def decode_first_list(data: bytes, what: str) -> list[RlpItem]:
    """Return the items of the RLP list at the beginning of `data`. Bytes after the list are ignored. RlpError if `data`
    does not begin with a list. Its text calls the list `what`."""
    return rlp.decode_list(data[: item_size(data[:_MAX_HEADER_BYTES])], what)
