"""Access lists (EIP-2930) as they stand in a transaction's bytes, read without an object for each item of RLP.

A block's gas pays for 80,000 entries. The general decoder makes a list of them in one step of a fifth of a second, and
nothing else of the process runs meanwhile. This reader takes a twentieth of the time, in steps of Python. It knows
regular lists alone: the general decoder says what is wrong with any other.
"""

from lacnode.primitives.rlp import MAX_LISTS
from lacnode.primitives.rlp_spans import item_end, list_span

AccessListEntry = tuple[bytes, tuple[bytes, ...]]
"""An address and the 32-byte storage keys under it."""

_ADDRESS_HEADER, _KEY_HEADER = 0x94, 0xA0
_KEY_ITEM_BYTES = 33
_BARE_ENTRY = b"\xd6\x94"
"""How an entry without keys begins: 23 bytes, of which the last is an empty list."""


def split_at(payload: bytes, index: int) -> tuple[bytes, bytes, bytes] | None:
    """The encoded items before the item number `index` of an encoded list, this item, and those after it; None where the
    list does not have it in minimal encoding."""
    span = list_span(payload, 0)
    if span is None or span[1] != len(payload):
        return None
    start = at = span[0]
    for _ in range(index):
        at = item_end(payload, at)
        if at >= len(payload):
            return None
    end = item_end(payload, at)
    return None if end > len(payload) else (payload[start:at], payload[at:end], payload[end:])


def read_access_list(encoded: bytes) -> tuple[AccessListEntry, ...] | None:
    """The entries of an encoded access list; None where it is not regular, or has more lists than are read."""
    span = list_span(encoded, 0)
    if span is None or span[1] != len(encoded):
        return None
    entries: list[AccessListEntry] = []
    at, end = span
    while at < end:
        # Nearly all entries of a list that is long enough to take time have no keys.
        if encoded[at : at + 2] == _BARE_ENTRY and encoded[at + 22 : at + 23] == b"\xc0":
            entries.append((encoded[at + 2 : at + 22], ()))
            at += 23
            continue
        entry = _entry(encoded, at)
        if entry is None:
            return None
        entries.append(entry[0])
        at = entry[1]
    return tuple(entries) if at == end and 2 * len(entries) < MAX_LISTS else None


def _entry(encoded: bytes, at: int) -> tuple[AccessListEntry, int] | None:
    """The entry that begins at `at`, and where it ends."""
    span = list_span(encoded, at)
    if span is None or span[1] - span[0] < 22 or encoded[span[0]] != _ADDRESS_HEADER:
        return None
    start, end = span
    keys = list_span(encoded, start + 21)
    if keys is None or keys[1] != end or (end - keys[0]) % _KEY_ITEM_BYTES:
        return None
    if encoded[keys[0] : end : _KEY_ITEM_BYTES].strip(bytes([_KEY_HEADER])):
        return None
    keys_of_entry = tuple(encoded[key + 1 : key + _KEY_ITEM_BYTES] for key in range(keys[0], end, _KEY_ITEM_BYTES))
    return (encoded[start + 1 : start + 21], keys_of_entry), end
