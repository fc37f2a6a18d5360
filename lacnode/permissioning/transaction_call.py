"""The fields of a transaction that the account rules look at.

They are fewer than the fields of a transaction. A client can therefore ask about a transaction before it signs it.
"""

from dataclasses import dataclass
from typing import Protocol


class TransactionCall(Protocol):
    """The fields of a transaction that the account rules look at, as an interface.

    `to` is an address of 20 bytes, None for a contract creation. `value` is in wei and `gas_price` in wei per gas.
    `gas_price` is None if the transaction gives its fees in another way.
    """

    @property
    def to(self) -> bytes | None:
        """The called contract or the recipient (20 bytes). None for a creation."""

    @property
    def value(self) -> int:
        """The transferred amount in wei."""

    @property
    def gas_price(self) -> int | None:
        """The price in wei per gas. None if the transaction gives its fees in another way (type 2 and later)."""

    @property
    def gas_limit(self) -> int:
        """The gas that the transaction may use at most."""

    @property
    def data(self) -> bytes:
        """The input of the call, or the init code of a creation. Empty if there is none."""


@dataclass(frozen=True, slots=True)
class UnsignedTransaction:
    """The fields of a transaction that has no signature yet. `value` is in wei and `gas_price` in wei per gas, None if
    the fees are given in another way. `to` is an address of 20 bytes, None for a contract creation."""

    to: bytes | None = None
    value: int = 0
    gas_price: int | None = 0
    gas_limit: int = 0
    data: bytes = b""
