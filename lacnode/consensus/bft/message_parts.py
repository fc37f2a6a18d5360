"""Messages with a block, cut into their items, so that each item is decoded only when it is needed.

The block has megabytes, and most of its bytes are transactions. A message that proves nothing is dropped without decoding
them. This file must not know which proofs a message has.
"""

from collections.abc import Sequence

from lacnode.consensus.bft.messages import Message, Proposal, RoundChange, with_block
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpItem
from lacnode.primitives.rlp_spans import split_list

_MOST_ITEMS = 4
"""The most items of a message, a signed payload, and a block with withdrawals."""

_NO_BLOCK = b"\x80", b"\xc0"


def split_into_items(data: bytes, what: str) -> list[bytes]:
    """The encoded items (RLP) of the RLP list `data`, in order. They are not checked: decode each one that is used.

    Raises RlpError, with the name `what`, if `data` is not a list of at most four items.
    """
    parts = split_list(data, _MOST_ITEMS)
    if parts is None:
        raise RlpError(f"{what}: a list of at most {_MOST_ITEMS} items was expected in {len(data)} bytes")
    return parts


def decode_unsigned_items(items: Sequence[bytes]) -> list[RlpItem]:
    """Decode the encoded items after the signed payload: a block, of which only the header is decoded, and proofs.

    Raises RlpError if one of them is malformed.
    """
    return [*map(decode_header_only, items[:1]), *map(rlp.decode, items[1:])]


def with_body_of_block(outline: Message, items: Sequence[bytes]) -> Message:
    """Return `outline` with the body of its block. `items` are the encoded items after the signed payload: the first one is
    the block.

    An outline without a block is returned as it is. Raises RlpError if the body is malformed.
    """
    block = outline.block if isinstance(outline, Proposal | RoundChange) else None
    return outline if block is None else with_block(outline, block.with_body_from_item(rlp.decode(items[0])))


def decode_header_only(encoded_block: bytes) -> RlpItem:
    """Return the item of an encoded block in which only the RLP of the header is decoded. An empty list stands in the place
    of each other item. An empty string and an empty list, which stand for no block, are returned as they are. Raises
    RlpError if the item is not a list of at most four items or the header is not RLP."""
    if encoded_block in _NO_BLOCK:
        return rlp.decode(encoded_block)
    header, *rest = split_into_items(encoded_block, "block") or [b""]
    others: list[RlpItem] = [[] for _ in rest]
    return [rlp.decode(header), *others]
