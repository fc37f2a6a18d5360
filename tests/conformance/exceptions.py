"""Names that official tests give to the reasons for refusing a transaction, and ours for the same."""

from collections.abc import Mapping

from lacnode.evm.rejection import RejectionReason

MALFORMED = "MALFORMED"
"""The transaction cannot be decoded, or has no sender."""

_BALANCE = RejectionReason.UPFRONT_COST_EXCEEDS_BALANCE
_INTRINSIC = RejectionReason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT
_FORMAT = RejectionReason.INVALID_TRANSACTION_FORMAT
_BLOBS = RejectionReason.INVALID_BLOBS
_TOO_MANY_BLOBS = RejectionReason.TOTAL_BLOB_GAS_TOO_HIGH
_OVERFLOW = RejectionReason.UPFRONT_COST_EXCEEDS_UINT256

_OURS: Mapping[str, tuple[RejectionReason, ...]] = {
    "GASLIMIT_PRICE_PRODUCT_OVERFLOW": (_OVERFLOW,),
    "GAS_ALLOWANCE_EXCEEDED": (RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT,),
    "INITCODE_SIZE_EXCEEDED": (RejectionReason.INITCODE_TOO_LARGE,),
    "INSUFFICIENT_ACCOUNT_FUNDS": (_BALANCE,),
    "INSUFFICIENT_MAX_FEE_PER_BLOB_GAS": (RejectionReason.BLOB_GAS_PRICE_BELOW_CURRENT_BLOB_BASE_FEE,),
    "INSUFFICIENT_MAX_FEE_PER_GAS": (RejectionReason.GAS_PRICE_BELOW_CURRENT_BASE_FEE,),
    "INTRINSIC_GAS_TOO_LOW": (_INTRINSIC,),
    "INTRINSIC_GAS_BELOW_FLOOR_GAS_COST": (_INTRINSIC,),
    "NONCE_IS_MAX": (RejectionReason.NONCE_OVERFLOW,),
    "NONCE_MISMATCH_TOO_HIGH": (RejectionReason.NONCE_TOO_HIGH,),
    "NONCE_MISMATCH_TOO_LOW": (RejectionReason.NONCE_TOO_LOW,),
    "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS": (RejectionReason.MAX_PRIORITY_FEE_PER_GAS_EXCEEDS_MAX_FEE_PER_GAS,),
    "SENDER_NOT_EOA": (RejectionReason.TX_SENDER_NOT_AUTHORIZED,),
    "TYPE_3_TX_BLOB_COUNT_EXCEEDED": (_TOO_MANY_BLOBS,),
    "TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH": (_BLOBS,),
    "TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED": (_TOO_MANY_BLOBS,),
    "TYPE_3_TX_PRE_FORK": (_FORMAT,),
    "TYPE_3_TX_ZERO_BLOBS": (_BLOBS,),
    "TYPE_4_EMPTY_AUTHORIZATION_LIST": (RejectionReason.EMPTY_CODE_DELEGATION,),
    "TYPE_4_TX_PRE_FORK": (_FORMAT,),
    "IntrinsicGas": (_INTRINSIC,),
    "SenderNotEOA": (RejectionReason.TX_SENDER_NOT_AUTHORIZED,),
    "TR_BLOBLIST_OVERSIZE": (_TOO_MANY_BLOBS,),
    "TR_BLOBVERSION_INVALID": (_BLOBS,),
    "TR_EMPTYBLOB": (_BLOBS,),
    "TR_FeeCapLessThanBlocks": (RejectionReason.GAS_PRICE_BELOW_CURRENT_BASE_FEE,),
    "TR_GasLimitReached": (RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT,),
    "TR_InitCodeLimitExceeded": (RejectionReason.INITCODE_TOO_LARGE,),
    "TR_IntrinsicGas": (_INTRINSIC,),
    "TR_NoFunds": (_BALANCE,),
    "TR_NoFundsOrGas": (_BALANCE, _OVERFLOW, _INTRINSIC),
    "TR_NoFundsX": (_BALANCE, _OVERFLOW),
    "TR_NonceHasMaxValue": (RejectionReason.NONCE_OVERFLOW,),
    "TR_TipGtFeeCap": (RejectionReason.MAX_PRIORITY_FEE_PER_GAS_EXCEEDS_MAX_FEE_PER_GAS,),
    "TR_TypeNotSupported": (_FORMAT,),
    "TR_TypeNotSupportedBlob": (_FORMAT,),
}

_MALFORMED = frozenset(
    {
        *("RLP_INVALID_VALUE", "TR_BLOBCREATE", "TR_RLP_WRONGVALUE"),
        *("TYPE_3_TX_CONTRACT_CREATION", "TYPE_4_TX_CONTRACT_CREATION"),
    }
)
"""Names of what cannot be decoded here."""


def is_expected(refused: str, expected: str | None) -> bool:
    """Whether `refused` (a reason's name, or MALFORMED) is one of the reasons that a test names."""
    names = [name.removeprefix("TransactionException.") for name in (expected or "").split("|")]
    if refused == MALFORMED:
        return not _MALFORMED.isdisjoint(names)
    return any(refused == reason.name for name in names for reason in _OURS.get(name, ()))
