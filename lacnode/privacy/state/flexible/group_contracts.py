"""The two contracts in the first state of every flexible group: a proxy at a fixed address and the management contract.

Their bytes are Besu's (`FlexibleGroupManagement`). They are a part of the state that the members compare.
"""

import json
from functools import cache
from importlib import resources

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from lacnode.chainspec.spec import GenesisAccount
from lacnode.privacy.state.privacy_marker import MANAGEMENT_ADDRESS, PROXY_ADDRESS
from lacnode.privacy.state.private_transaction import PrivateTransaction

ADD_PARTICIPANTS = bytes.fromhex("965a25ef")
REMOVE_PARTICIPANT = bytes.fromhex("1f52a8ee")
GET_PARTICIPANTS = bytes.fromhex("5aa68ac0")
GET_VERSION = bytes.fromhex("0d8e6e2c")
CAN_EXECUTE = bytes.fromhex("78b90337")
LOCK, UNLOCK = bytes.fromhex("f83d08ba"), bytes.fromhex("a69df4b5")

MAX_FLEXIBLE_MEMBERS = 10_000
WORD_BYTES = 32


@cache
def create_group_accounts() -> tuple[GenesisAccount, ...]:
    """Return the first accounts of every flexible group: the management contract, then the proxy. The first slot of the
    proxy names the management contract. The result is made once."""
    file = resources.files("lacnode.privacy.state.flexible") / "contracts.json"
    found = json.loads(file.read_text("utf-8"))
    proxy, management = (bytes.fromhex(found[name][2:]) for name in ("proxy", "management"))
    return (
        GenesisAccount(MANAGEMENT_ADDRESS, 0, 0, management, ()),
        GenesisAccount(PROXY_ADDRESS, 0, 0, proxy, ((0, int.from_bytes(MANAGEMENT_ADDRESS)),)),
    )


def calls_group_contract(private: PrivateTransaction) -> bool:
    """Return True if `private` calls the group's own contract, at the proxy's address. This is allowed while the group
    is locked."""
    return private.to == PROXY_ADDRESS


def adds_members(private: PrivateTransaction) -> bool:
    """Return True if `private` calls the function of the group's contract that adds members. This also creates a group.
    Whether the call succeeds is not known here."""
    return calls_group_contract(private) and private.data.startswith(ADD_PARTICIPANTS)


def added_members(private: PrivateTransaction) -> tuple[bytes, ...]:
    """Return the public keys that an addition names. Their lengths are not checked. Empty if `private` is no addition,
    or if its keys cannot be read, as in Besu."""
    # Besu takes call data that cannot be read for an addition of no member.
    return decode_members(private.data[len(ADD_PARTICIPANTS) :]) if adds_members(private) else ()


def decode_members(encoded: bytes) -> tuple[bytes, ...]:
    """Return the keys in the ABI encoding of a `bytes[]` without a selector. Their lengths are not checked. Empty if it
    is malformed, has more than `MAX_FLEXIBLE_MEMBERS` keys, or names more bytes than it has."""
    if not _is_bounded(encoded):
        return ()
    try:
        (keys,) = decode(["bytes[]"], encoded)
    except (DecodingError, OverflowError, ValueError):
        return ()
    return tuple(keys)


def _is_bounded(encoded: bytes) -> bool:
    """Return True if the keys are not too many and all together not longer than their encoding."""
    # A contract of strangers may return any list. A huge one would cost seconds at each question. Any number of keys may
    # also have their offset at the same bytes: half a megabyte would become a gigabyte.
    begin = _number_at(encoded, 0)
    count = _number_at(encoded, begin)
    if count > MAX_FLEXIBLE_MEMBERS:
        return False
    first = begin + WORD_BYTES
    offsets = (_number_at(encoded, first + WORD_BYTES * index) for index in range(count))
    return sum(_number_at(encoded, first + offset) for offset in offsets) <= len(encoded)


def _number_at(encoded: bytes, position: int) -> int:
    """Return the word at `position`, 0 beyond the end. The decoder refuses what is not there."""
    return int.from_bytes(encoded[position : position + WORD_BYTES])
