"""The reasons why a transaction is not executed, in Besu's words (`TransactionInvalidReason`). Pool and blocks share
them."""

from collections.abc import Mapping
from enum import Enum, auto


class RejectionReason(Enum):
    """Why a transaction is not executed or not accepted by the pool. The names are Besu's, except `TX_TOO_LARGE`. The
    RPC chooses the text for the sender."""

    TX_POOL_DISABLED = auto()
    TRANSACTION_ALREADY_KNOWN = auto()
    CHAIN_HEAD_NOT_AVAILABLE = auto()
    CHAIN_HEAD_WORLD_STATE_NOT_AVAILABLE = auto()
    TX_FEECAP_EXCEEDED = auto()
    GAS_PRICE_TOO_LOW = auto()
    GAS_PRICE_BELOW_CURRENT_BASE_FEE = auto()
    REPLAY_PROTECTED_SIGNATURES_NOT_SUPPORTED = auto()
    REPLAY_PROTECTED_SIGNATURE_REQUIRED = auto()
    WRONG_CHAIN_ID = auto()
    INVALID_SIGNATURE = auto()
    INVALID_BLOBS = auto()
    BLOB_GAS_PRICE_BELOW_CURRENT_BLOB_BASE_FEE = auto()
    TOTAL_BLOB_GAS_TOO_HIGH = auto()
    INVALID_TRANSACTION_FORMAT = auto()
    NONCE_OVERFLOW = auto()
    INITCODE_TOO_LARGE = auto()
    EMPTY_CODE_DELEGATION = auto()
    MAX_PRIORITY_FEE_PER_GAS_EXCEEDS_MAX_FEE_PER_GAS = auto()
    INTRINSIC_GAS_EXCEEDS_GAS_LIMIT = auto()
    UPFRONT_COST_EXCEEDS_UINT256 = auto()
    UPFRONT_COST_EXCEEDS_BALANCE = auto()
    EXCEEDS_BLOCK_GAS_LIMIT = auto()
    TX_SENDER_NOT_AUTHORIZED = auto()
    NONCE_TOO_LOW = auto()
    NONCE_TOO_HIGH = auto()
    NONCE_TOO_FAR_IN_FUTURE_FOR_SENDER = auto()
    TRANSACTION_REPLACEMENT_UNDERPRICED = auto()
    INTERNAL_ERROR = auto()
    TX_EVALUATION_TOO_LONG = auto()
    TX_TOO_LARGE = auto()
    """Not Besu's: more bytes than the transactions of a block that this node builds may have together."""


class TransactionRejectedError(Exception):
    """A transaction that cannot be executed here. The state is as it was before it. `reason` is Besu's name. `details`
    explain more than the text does, None if there is no more. Their values are those that JSON has."""

    def __init__(self, reason: RejectionReason, text: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.details = details
