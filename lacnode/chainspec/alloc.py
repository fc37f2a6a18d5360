"""Accounts that exist from the start, as a genesis writes them (Besu, `GenesisAllocation`)."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from lacnode.chainspec.genesis_values import Data, Nonce, Quantity, Word, short_address, word
from lacnode.chainspec.spec import GenesisAccount


class GenesisAllocationError(ValueError):
    """An address or a slot that is none; names it."""


class GenesisAllocation(BaseModel):
    """One account; its address is the key it stands under. Unknown keys are kept aside."""

    model_config = ConfigDict(extra="allow", frozen=True)

    balance: Quantity = 0
    nonce: Nonce = 0
    code: Data = b""
    storage: dict[str, Word] = {}


def genesis_accounts(alloc: Mapping[str, GenesisAllocation]) -> tuple[GenesisAccount, ...]:
    """The accounts of an `alloc` object; GenesisAllocationError. An account may be written in several ways, and the last one
    counts."""
    made = (_account(text, account) for text, account in alloc.items())
    return tuple({account.address: account for account in made}.values())


def _account(address: str, account: GenesisAllocation) -> GenesisAccount:
    try:
        storage = {int.from_bytes(word(slot)): int.from_bytes(value) for slot, value in account.storage.items()}
        slots = tuple(storage.items())
        return GenesisAccount(short_address(address), account.balance, account.nonce, account.code, slots)
    except ValueError as error:
        raise GenesisAllocationError(f"alloc.{address[:80]}: {error}") from None
