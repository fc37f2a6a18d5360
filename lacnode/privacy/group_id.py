"""Privacy group ids as Orion reckons them: the Keccak hash of the members in Orion's own order.

That order is by a signed 32-bit hash of each key's bytes, not by the bytes themselves. Tessera differs for lists of 256
bytes and more, so a group id is never reckoned where the manager has already named one: only for a legacy transaction
that has not been sent yet.
"""

from collections.abc import Iterable

from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256


def legacy_group_id(private_from: bytes, private_for: Iterable[bytes]) -> bytes:
    """The 32-byte id of the group that a sender and its recipients (public keys) make (EEA)."""
    return _group_id({private_from, *private_for}, ())


def created_group_id(members: Iterable[bytes], seed: bytes) -> bytes:
    """The 32-byte id of a group that was asked for; `seed` makes two of the same members differ."""
    return _group_id(set(members), (seed,))


def _group_id(members: set[bytes], last: tuple[bytes, ...]) -> bytes:
    return keccak256(rlp.encode([*sorted(members, key=sort_hash), *last]))


def sort_hash(key: bytes) -> int:
    """What Orion sorts by: Java's hash of a byte array, begun at 1, as a signed 32-bit number."""
    value = 1
    for byte in key:
        value = (31 * value + (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF
    return value - 2**32 if value >= 2**31 else value
