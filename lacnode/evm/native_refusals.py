"""revm's names for faults of a transaction, and the reasons that they are in this project."""

from collections.abc import Mapping

from lacnode.evm.rejection import RejectionReason

_FORMAT = RejectionReason.INVALID_TRANSACTION_FORMAT
_INTRINSIC = RejectionReason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT

REFUSALS: Mapping[str, RejectionReason] = {
    "InvalidChainId": RejectionReason.WRONG_CHAIN_ID,
    "Eip2930NotSupported": _FORMAT,
    "Eip1559NotSupported": _FORMAT,
    "Eip4844NotSupported": _FORMAT,
    "Eip7702NotSupported": _FORMAT,
    "EmptyBlobs": RejectionReason.INVALID_BLOBS,
    "BlobVersionNotSupported": RejectionReason.INVALID_BLOBS,
    "TooManyBlobs": RejectionReason.TOTAL_BLOB_GAS_TOO_HIGH,
    "BlobGasPriceGreaterThanMax": RejectionReason.BLOB_GAS_PRICE_BELOW_CURRENT_BLOB_BASE_FEE,
    "NonceOverflowInTransaction": RejectionReason.NONCE_OVERFLOW,
    "CreateInitCodeSizeLimit": RejectionReason.INITCODE_TOO_LARGE,
    "EmptyAuthorizationList": RejectionReason.EMPTY_CODE_DELEGATION,
    "PriorityFeeGreaterThanMaxFee": RejectionReason.MAX_PRIORITY_FEE_PER_GAS_EXCEEDS_MAX_FEE_PER_GAS,
    "CallGasCostMoreThanGasLimit": _INTRINSIC,
    "GasFloorMoreThanGasLimit": _INTRINSIC,
    "OverflowPaymentInTransaction": RejectionReason.UPFRONT_COST_EXCEEDS_UINT256,
    "LackOfFundForMaxFee": RejectionReason.UPFRONT_COST_EXCEEDS_BALANCE,
    "CallerGasLimitMoreThanBlock": RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT,
    "GasPriceLessThanBasefee": RejectionReason.GAS_PRICE_BELOW_CURRENT_BASE_FEE,
    "NonceTooLow": RejectionReason.NONCE_TOO_LOW,
    "NonceTooHigh": RejectionReason.NONCE_TOO_HIGH,
    "RejectCallerWithCode": RejectionReason.TX_SENDER_NOT_AUTHORIZED,
}
"""Reasons by the argument of the library's `RefusedError`. Where a transaction is wrong in two ways, revm may name
the other one. The sender always gets the reason of `transaction_validation`."""
