"""Records of a certificate's status: what two administrations share, and the hash that the public chain has of it."""

import secrets
from dataclasses import dataclass
from enum import IntEnum

from eth_abi import encode
from web3 import Web3


class Status(IntEnum):
    """As in Recognition.sol."""

    NONE = 0
    VALID = 1
    SUSPENDED = 2
    REVOKED = 3


@dataclass(frozen=True)
class Record:
    """One change. `issuer` is an address, `valid_until` Unix seconds. The salt keeps others from trying out records until
    one has the hash on the chain."""

    issuer: str
    operator: str
    status: Status
    valid_until: int
    salt: bytes

    @classmethod
    def new(cls, issuer: str, operator: str, status: Status, valid_until: int) -> "Record":
        """A record with a salt of its own."""
        return cls(issuer, operator, status, valid_until, secrets.token_bytes(32))

    @property
    def commitment(self) -> bytes:
        """The 32-byte hash that goes to the public chain."""
        types = ["address", "string", "uint8", "uint64", "bytes32"]
        return bytes(Web3.keccak(encode(types, [self.issuer, self.operator, self.status, self.valid_until, self.salt])))
