"""What a transaction is to the rules about senders: less than a transaction, so that one can be asked about before it is
signed."""

from dataclasses import dataclass
from typing import Protocol


class TransactionCall(Protocol):
    """`to` is None for the creation of a contract, `gas_price` None where fees are given another way. Values in wei."""

    @property
    def to(self) -> bytes | None: ...
    @property
    def value(self) -> int: ...
    @property
    def gas_price(self) -> int | None: ...
    @property
    def gas_limit(self) -> int: ...
    @property
    def data(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class UnsignedTransaction:
    """A transaction that nobody has signed yet."""

    to: bytes | None = None
    value: int = 0
    gas_price: int | None = 0
    gas_limit: int = 0
    data: bytes = b""
