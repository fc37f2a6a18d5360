"""Whether a private transaction is carried out in a flexible group: what its contract says at that moment.

Follows Besu's `FlexiblePrivacyPrecompiledContract.canExecute`, whose checks have this order. Must not execute the
transaction.
"""

from collections.abc import Callable

from lacnode.privacy.state.flexible.group_contracts import (
    CAN_EXECUTE,
    GET_PARTICIPANTS,
    GET_VERSION,
    added_members,
    calls_group_contract,
    decode_members,
    is_addition,
)
from lacnode.privacy.state.private_transaction import PrivateTransaction

NO_VERSION = bytes(32)
QUERY_GAS_PRICE_WEI = 1000
"""The gas price of Besu's questions to the contract: contracts can see it."""

Ask = Callable[[bytes], bytes | None]
"""What the group's contract answers to call data, None where it fails."""


def members(ask: Ask) -> tuple[bytes, ...] | None:
    """The group's members; None where there is no group."""
    output = ask(GET_PARTICIPANTS)
    return decode_members(output) if output else None


def version(ask: Ask) -> bytes:
    """The group's version (32 bytes), which changes with its members; zero where there is no group."""
    output = ask(GET_VERSION)
    return output if output is not None and len(output) == len(NO_VERSION) else NO_VERSION


def refusal(private: PrivateTransaction, expected_version: bytes, ask: Ask) -> str | None:
    """Why `private`, sent when the group had `expected_version`, is not carried out; None if it is."""
    is_locked = not any(ask(CAN_EXECUTE) or b"")
    if is_addition(private) and not is_locked:
        return "members are added while the group is not locked"
    if is_locked and not calls_group_contract(private):
        return "the group is locked"
    if version(ask) != expected_version:
        return "the group's members have changed since it was sent"
    present = members(ask) or ()
    joining = added_members(private) if not present else ()
    if private.private_from not in (*present, *joining):
        return "its sender is no member of the group"
    return None
