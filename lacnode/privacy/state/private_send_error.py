"""The one error of sending a private transaction, with its reason.

A caller translates the reason into its own words. It does not have to know the parts that refuse a transaction.
"""

from enum import Enum

from lacnode.evm.rejection import RejectionReason
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError


class PrivateSendReason(Enum):
    """Why a private transaction is not sent. The value is the text of an error without a detail."""

    UNSUPPORTED_RESTRICTION = "only restricted private transactions are supported"
    WRONG_SENDER_KEY = "`privateFrom` is another key than that of the caller"
    NOT_A_MEMBER = "the caller is not a member of the group"
    NO_GROUP_ID = "a flexible group must be named by its id"
    NO_SUCH_GROUP = "the flexible group does not exist, or the caller is not a member of it"
    WRONG_GROUP_TYPE = "the group was not created by name"
    CARRIES_VALUE = "a private transaction cannot carry value"
    REJECTED = "the private transaction is rejected"
    MARKER_REJECTED = "the pool rejects the marker"
    LOST_PAYLOAD = "the manager lost a payload of the group's past"
    MANAGER_FAILED = "the transaction manager refuses, or does not answer"


class PrivateSendError(Exception):
    """A private transaction is not sent. If its payload was delivered already, it has no marker and no effect.

    The text is `detail`, or that of `reason` without one. `rejection` is the rule of REJECTED and MARKER_REJECTED.
    `manager_error` is the manager's error of MANAGER_FAILED. Both are None for the other reasons.
    """

    def __init__(
        self,
        reason: PrivateSendReason,
        detail: str | None = None,
        *,
        rejection: RejectionReason | None = None,
        manager_error: EnclaveError | EnclaveUnreachableError | None = None,
    ) -> None:
        super().__init__(detail or reason.value)
        self.reason = reason
        self.rejection = rejection
        self.manager_error = manager_error
