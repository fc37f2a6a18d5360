"""Errors of EEA and PRIV with Besu's codes and texts, and the translation of a transaction manager's errors into them."""

import re

from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError
from lacnode.rpc.errors import RpcError

PRIVACY_ERROR_CODE, ENCLAVE_ERROR_CODE = -50100, -50200

ENCLAVE_ERROR = "Error communicating with enclave"
UNSUPPORTED_TYPE = "Unsupported private transaction type"
DECODE_ERROR = "Unable to decode the private signed raw transaction"
DELETE_GROUP_ERROR = "Error deleting privacy group"
FIND_GROUP_ERROR = "Error finding privacy group"
FIND_FLEXIBLE_GROUP_ERROR = "Error finding flexible privacy group"
NO_FLEXIBLE_GROUP = "Flexible Privacy group does not exist."
NO_FLEXIBLE_GROUP_ID = "Private transactions to flexible privacy groups must use privacyGroupId"
NONCE_ERROR = "Unable to determine nonce for account in group."
MARKER_GAS_ERROR = (
    "Privacy Marker Transaction failed due to intrinsic gas exceeding the limit. "
    "Gas limit used from the Private Transaction."
)
WRONG_PRIVATE_FROM = "Private from does not match enclave public key"
TRANSACTION_FAILED = "Private transaction failed"

_PASSED_THROUGH = frozenset(
    (
        "NodeMissingPeerUrl", "NodePushingToPeer", "NodePropagatingToAllPeers", "NoSenderKey", "InvalidPayload",
        "EnclaveCreateKeyPair", "EnclaveDecodePublicKey", "EnclaveDecryptWrongPrivateKey", "EnclaveEncryptCombineKeys",
        "EnclaveMissingPrivateKeyPasswords", "EnclaveNoMatchingPrivateKey", "EnclaveNotPayloadOwner",
        "EnclaveUnsupportedPrivateKeyType", "EnclaveStorageDecrypt", "EnclavePrivacyGroupIdCreation",
        "EnclavePayloadNotFound", "EnclaveKeysCannotDecryptPayload", "CreatePrivacyGroupShouldIncludeSelf",
        "PrivacyGroupNotStored", "PrivacyGroupNotDeleted", "PrivacyGroupNotPushed", "PrivacyGroupNotFound",
        "PrivacyGroupQueryError", "MethodUnimplemented", "Recipient not found for key:",
        "The list of members in a privacy group should include self",
    )
)  # fmt: skip
"""Errors of the manager that a client gets in the manager's own words. Every other one becomes `ENCLAVE_ERROR`."""

_KEY = re.compile(r" ?[A-Za-z0-9+/]{40,}={0,2}")
_NO_GROUP = re.compile(r"PrivacyGroupNotFound|Privacy group.*not found")


def privacy_error(message: str) -> RpcError:
    """Return an error of the privacy methods themselves, with the code -50100."""
    return RpcError(PRIVACY_ERROR_CODE, message)


def manager_error(error: EnclaveError | EnclaveUnreachableError) -> RpcError:
    """Return the error that a client gets for a failure of the manager. If a client may read the manager's own words
    (`_PASSED_THROUGH`), these without the keys in them, with the code -50200, and in `data` the explanation that
    lacnode's own manager gives. Otherwise `ENCLAVE_ERROR` with -50100 and without `data`."""
    if isinstance(error, EnclaveError):
        # Tessera writes keys into its texts. They are removed, so that no client learns the key of another member.
        word = _KEY.sub("", error.code).strip()
        if word in _PASSED_THROUGH:
            return RpcError(ENCLAVE_ERROR_CODE, word, error.detail)
    return privacy_error(ENCLAVE_ERROR)


def is_group_not_found(error: EnclaveError) -> bool:
    """Return True if the manager's error says that there is no such group."""
    return _NO_GROUP.fullmatch(error.code) is not None
