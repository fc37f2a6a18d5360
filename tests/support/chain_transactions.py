"""Signed transactions of one account, and the offers of them to a block builder."""

from dataclasses import dataclass

from lacnode.crypto.secp256k1 import sign
from lacnode.evm.rejection import RejectionReason
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import Transaction, encode_signed_transaction
from tests.support.chain_genesis import PAYER


@dataclass
class Offer:
    """A candidate that remembers its verdict."""

    transaction: Transaction
    sender: bytes = PAYER.address
    verdict: str | RejectionReason | None = None
    is_expected_slow: bool = False

    def included(self) -> None:
        self.verdict = "included"

    def skipped(self) -> None:
        self.verdict = "skipped"

    def interrupted(self, seconds: float, cause: str, *, was_held_up: bool) -> None:
        self.verdict = "held up" if was_held_up else "interrupted"

    def dropped(self, reason: RejectionReason) -> None:
        self.verdict = reason


def transaction(nonce: int, to: bytes | None = b"\x01" * 20, gas: int = 100_000, data: bytes = b"") -> Transaction:
    payload = [
        rlp.encode_scalar(nonce),
        rlp.encode_scalar(1_000),
        rlp.encode_scalar(gas),
        to or b"",
        rlp.encode_scalar(0),
        data,
    ]
    digest = keccak256(rlp.encode([*payload, rlp.encode_scalar(1337), b"", b""]))
    signature = sign(digest, PAYER.private_key)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    return Transaction.decode(encode_signed_transaction(0, payload, 1337 * 2 + 35 + signature[64], r, s))
