"""The questions to the contract of a flexible group, and the rule whether a private transaction may be executed.

The checks and their order are those of Besu's `FlexiblePrivacyPrecompiledContract.canExecute`. This module must not execute
the transaction.
"""

from collections.abc import Callable

from lacnode.privacy.state.flexible.group_contracts import (
    CAN_EXECUTE,
    GET_PARTICIPANTS,
    GET_VERSION,
    added_members,
    adds_members,
    calls_group_contract,
    decode_members,
)
from lacnode.privacy.state.private_transaction import PrivateTransaction

NO_VERSION = bytes(32)
QUERY_GAS_PRICE_WEI = 1000
"""The gas price of Besu's questions to the contract. Contracts can see it."""

Ask = Callable[[bytes], bytes | None]
"""Returns the contract's output for call data, None if the call fails."""


def ask_members(ask: Ask) -> tuple[bytes, ...] | None:
    """Return the public keys of the group's members in the contract's order. Their lengths are not checked. None if
    there is no group or the call fails, empty if the answer is malformed. The errors of `ask` pass through."""
    output = ask(GET_PARTICIPANTS)
    return decode_members(output) if output else None


def ask_version(ask: Ask) -> bytes:
    """Return the version of the group (32 bytes), which changes with its members. `NO_VERSION` (32 zero bytes) if there
    is no group, the call fails, or the answer has another length. The errors of `ask` pass through."""
    output = ask(GET_VERSION)
    return output if output is not None and len(output) == len(NO_VERSION) else NO_VERSION


def find_refusal(private: PrivateTransaction, expected_version: bytes, ask: Ask) -> str | None:
    """Return why `private` may not be executed in its group, as a text for the log. None if it may. `ask` asks the
    group's contract whether it is locked, for its version and for its members. The decision is made here: the contract
    does not get `private`.

    Refused are: an addition of members while the group is not locked, anything but a call of the group's contract while
    the group is locked (or the contract does not answer), a version of now that is not `expected_version` (32 bytes,
    that of the sending), and a sender that is no member. In a group without members, the added ones count as members.
    The errors of `ask` pass through.
    """
    # A locked group takes calls of its own contract alone. The lock keeps other transactions out while members join.
    is_locked = not any(ask(CAN_EXECUTE) or b"")
    if adds_members(private) and not is_locked:
        return "members are added while the group is not locked"
    if is_locked and not calls_group_contract(private):
        return "the group is locked"
    # Members that joined after the sending did not receive the payload. They could not execute the transaction.
    if ask_version(ask) != expected_version:
        return "the group's members have changed since it was sent"
    # In a new group there are no members yet. Its first transaction names them, and its sender must be one of them.
    present = ask_members(ask) or ()
    joining = added_members(private) if not present else ()
    if private.private_from not in (*present, *joining):
        return "its sender is no member of the group"
    return None
