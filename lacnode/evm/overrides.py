"""Changes to accounts that a call sees and the chain does not (state overrides)."""

from dataclasses import dataclass


class OverrideError(Exception):
    """Overrides cannot be applied. The text says why."""


@dataclass(frozen=True, slots=True)
class AccountOverride:
    """The values that a call finds at one address. None leaves the chain's value. The balance is in wei.

    `storage` are pairs of a slot and its value: with `clears_storage` the account has no other slots, without it the
    chain's other slots stay. `precompile_moved_to` is the 20-byte address where the precompile of this address is
    found.
    """

    balance: int | None = None
    nonce: int | None = None
    code: bytes | None = None
    storage: tuple[tuple[int, int], ...] = ()
    clears_storage: bool = False
    precompile_moved_to: bytes | None = None


Overrides = tuple[tuple[bytes, AccountOverride], ...]
"""Overrides by 20-byte address."""
