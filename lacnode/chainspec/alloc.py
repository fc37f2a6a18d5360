"""The accounts of a genesis, in the form of the file (Besu, `GenesisAllocation`)."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from lacnode.chainspec.genesis_values import Data, Nonce, Quantity, Word, parse_short_address, parse_word
from lacnode.chainspec.spec import GenesisAccount


class GenesisAllocationError(ValueError):
    """An address or a slot is malformed. The text names it."""


class GenesisAllocation(BaseModel):
    """One account of the genesis file. Its address is the key of its object in the file. The balance is in wei, and
    `storage` maps slots in hexadecimal to words of 32 bytes. Unknown keys are kept in `model_extra` and have no
    effect."""

    model_config = ConfigDict(extra="allow", frozen=True)

    balance: Quantity = 0
    nonce: Nonce = 0
    code: Data = b""
    storage: dict[str, Word] = {}


def genesis_accounts(alloc: Mapping[str, GenesisAllocation]) -> tuple[GenesisAccount, ...]:
    """The accounts of an `alloc` object, whose keys are addresses in hexadecimal. Raises GenesisAllocationError if an
    address or a slot is malformed.

    The file may name one account in several spellings. The entry that comes last in the file counts, as in Besu.
    Shorter addresses are filled with zeros on the left.
    """
    made = (_account(text, account) for text, account in alloc.items())
    return tuple({account.address: account for account in made}.values())


def _account(address: str, account: GenesisAllocation) -> GenesisAccount:
    try:
        # Slots and values are numbers of 256 bits. Shorter ones are filled with zeros on the left.
        storage = {int.from_bytes(parse_word(slot)): int.from_bytes(value) for slot, value in account.storage.items()}
        slots = tuple(storage.items())
        return GenesisAccount(parse_short_address(address), account.balance, account.nonce, account.code, slots)
    except ValueError as error:
        raise GenesisAllocationError(f"alloc.{address[:80]}: {error}") from None
