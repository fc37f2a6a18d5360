"""Accounts that exist from the start, as a genesis writes them (Besu, `GenesisAllocation`)."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from lacnode.chainspec.genesis_values import Data, Nonce, Quantity, Word, word
from lacnode.chainspec.spec import GenesisAccount
from lacnode.primitives.hexadecimal import address_from_hex


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
    """The accounts of an `alloc` object; GenesisAllocationError."""
    found: dict[bytes, GenesisAccount] = {}
    for text, account in alloc.items():
        made = _account(text, account)
        if made.address in found:
            raise GenesisAllocationError(f"alloc.{text}: the account is given twice, with and without 0x")
        found[made.address] = made
    return tuple(found.values())


def _account(address: str, account: GenesisAllocation) -> GenesisAccount:
    try:
        storage = tuple((int.from_bytes(word(slot)), int.from_bytes(value)) for slot, value in account.storage.items())
        return GenesisAccount(address_from_hex(address), account.balance, account.nonce, account.code, storage)
    except ValueError as error:
        raise GenesisAllocationError(f"alloc.{address[:80]}: {error}") from None
