"""secp256k1 signatures, recovery and key agreement, on `coincurve` directly.

A recovery with `eth-keys` takes twice as long, and transactions, seals, consensus messages and discovery packets all need
recoveries. Signatures have 65 bytes `r || s || v`, v 0 or 1. They are deterministic (RFC 6979) and low-s, as in Besu.
"""

from collections.abc import Callable, Sequence

import coincurve

from lacnode.crypto.recent_senders import RecentSenders
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import Transaction

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF_CURVE_ORDER = CURVE_ORDER // 2
SIGNATURE_BYTES = 65

_RECENT_SENDERS = RecentSenders()


class SignatureError(ValueError):
    """No public key can be recovered from a signature, or the signature is not allowed (form, range, high s)."""


def sign(digest: bytes, private_key: bytes) -> bytes:
    """Return the 65-byte low-s signature `r || s || v`, v 0 or 1, of a 32-byte `digest` by a 32-byte `private_key`.
    ValueError if the digest has another length, or the key is not at least 1 and below the curve's order."""
    return coincurve.PrivateKey(private_key).sign_recoverable(digest, hasher=None)


def recover_public_key(digest: bytes, signature: bytes) -> bytes:
    """The 64-byte public key (X || Y) that signed the 32-byte `digest`. `signature` has 65 bytes: r, s, and the parity
    as 0 or 1. A high s is accepted. SignatureError if a length or the parity is wrong, or if there is no key."""
    if len(signature) != SIGNATURE_BYTES or signature[64] > 1:
        raise SignatureError("a signature of 65 bytes ending in 0 or 1 was expected")
    try:
        point = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception for some malformed signatures
        raise SignatureError(f"no public key can be recovered: {error}") from None
    return point.format(compressed=False)[1:]


def recover_address(digest: bytes, signature: bytes) -> bytes:
    """The 20-byte address that signed the 32-byte `digest`. `signature` has 65 bytes: r, s, and the parity as 0 or 1. A
    high s is accepted. SignatureError if a length or the parity is wrong, or if there is no key."""
    return address_of(recover_public_key(digest, signature))


def address_of(public_key: bytes) -> bytes:
    """Return the 20-byte address of a 64-byte public key (X || Y). The key is not checked."""
    return keccak256(public_key)[12:]


def public_key_of(private_key: bytes) -> bytes:
    """The 64-byte public key (X || Y) of a 32-byte private key. ValueError if the key is not at least 1 and below the
    curve's order."""
    return coincurve.PrivateKey(private_key).public_key.format(compressed=False)[1:]


def agree(private_key: bytes, public_key: bytes) -> bytes:
    """ECDH: the 32-byte X coordinate of the 32-byte `private_key` times the 64-byte `public_key`, not hashed.

    ValueError if `public_key` is not a point of the curve, or `private_key` is not at least 1 and below the curve's order.
    """
    # `coincurve` has an ECDH function of its own, which returns a hash of the point. RLPx needs the X coordinate
    # itself.
    point = coincurve.PublicKey(b"\x04" + public_key).multiply(private_key)
    return point.format(compressed=False)[1:33]


def is_low_s(signature: bytes) -> bool:
    """Return True if s of `signature` (r, s, 32 bytes each) is in the lower half of the curve's order, as EIP-2 and
    Besu 25.11 require."""
    return int.from_bytes(signature[32:64]) <= HALF_CURVE_ORDER


def recover_sender(transaction: Transaction) -> bytes:
    """The 20-byte address that signed `transaction`. The last senders are remembered. The chain id is not compared.

    SignatureError if no key can be recovered, or if the signature is out of range or has a high s.
    """
    known = _RECENT_SENDERS.get(transaction.hash)
    if known is not None:
        return known
    sender = _recovered_sender(transaction)
    _RECENT_SENDERS.add(transaction.hash, sender)
    return sender


def recover_senders(
    transactions: Sequence[Transaction], recover_many: Callable[[list[bytes]], list[bytes | None]]
) -> list[bytes]:
    """The 20-byte address that signed each of `transactions`, in their order. The last senders are remembered.

    `recover_many` gets the canonical encodings of the transactions whose sender is not remembered. It returns one
    address for each, in their order, or None without a valid signature. SignatureError for the first transaction without
    one.
    """
    remembered = _RECENT_SENDERS.get_all([transaction.hash for transaction in transactions])
    unknown = [each for each, sender in zip(transactions, remembered, strict=True) if sender is None]
    for transaction, sender in zip(unknown, recover_many([each.raw for each in unknown]), strict=True):
        if sender is not None:
            _RECENT_SENDERS.add(transaction.hash, sender)
    # A transaction without a sender is tried once more here, which raises the exact error. All others are remembered
    # now.
    return [
        recover_sender(transaction) if sender is None else sender
        for transaction, sender in zip(transactions, remembered, strict=True)
    ]


def _recovered_sender(transaction: Transaction) -> bytes:
    # Before the recovery, which accepts a high s: it would make a second valid signature of each transaction (EIP-2).
    if not (0 < transaction.r < CURVE_ORDER and 0 < transaction.s <= HALF_CURVE_ORDER):
        raise SignatureError("transaction signature out of range")
    signature = transaction.r.to_bytes(32) + transaction.s.to_bytes(32) + bytes([transaction.y_parity])
    return recover_address(transaction.signing_hash(), signature)
