"""Sending a private transaction: its checks, its delivery by the manager, and its marker.

The payload goes out before its marker: a member that finds a marker in a block asks its manager for the payload at
once. All checks of the private transaction come before the delivery, because a delivered payload cannot be called back.
Only the pool's checks of the marker come after it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from lacnode.crypto.secp256k1 import SignatureError
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.execution import InvalidPrivateTransactionError, check_value_and_chain_id
from lacnode.privacy.state.group_directory import GroupDirectory
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import MarkerSigner
from lacnode.privacy.state.private_send_error import PrivateSendError, PrivateSendReason
from lacnode.privacy.state.private_states import PrivateStates
from lacnode.privacy.state.private_transaction import PrivateTransaction
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError


@dataclass(frozen=True, slots=True)
class MarkerSubmitter:
    """The connection to the public node: `next_nonce` returns the next nonce of an account (20 bytes) with pending
    transactions counted, and `submit` gives a marker to the pool.

    `submit` raises TransactionRejectedError if the pool refuses the marker.
    """

    next_nonce: Callable[[bytes], int]
    submit: Callable[[Transaction], None]


class PrivateTransactionSender:
    """Sends private transactions of any caller of this node. Safe to use from any thread."""

    def __init__(
        self,
        context: PrivacyContext,
        states: PrivateStates,
        groups: GroupDirectory,
        signer: MarkerSigner,
        public: MarkerSubmitter,
    ) -> None:
        self._context = context
        self._states = states
        self._groups = groups
        self._signer = signer
        self._public = public
        # Markers are made one at a time, see `submit_marker`.
        self._signing_lock = threading.Lock()

    def check_apart_from_group(self, private: PrivateTransaction) -> None:
        """Check the value, the chain id, the signature and the nonce of `private`. Its group and its members are not
        checked here. A nonce that is too high passes, because it may wait for others. This waits a short time for
        private execution.

        PrivateSendError if it may not be sent.
        """
        try:
            check_value_and_chain_id(private, self._context.chain_id)
        except InvalidPrivateTransactionError as invalid:
            if invalid.reason is None:
                raise PrivateSendError(PrivateSendReason.CARRIES_VALUE) from None
            raise PrivateSendError(PrivateSendReason.REJECTED, str(invalid), rejection=invalid.reason) from None
        try:
            sender = private.sender()
        except SignatureError as error:
            raise PrivateSendError(
                PrivateSendReason.REJECTED, str(error), rejection=RejectionReason.INVALID_SIGNATURE
            ) from None
        # Only a used nonce is refused. Several transactions may be sent before the first one is mined.
        nonce = self._states.next_nonce(sender, private.determined_group_id())
        if private.nonce < nonce:
            text = f"private nonce {private.nonce} was used, the next is {nonce}"
            raise PrivateSendError(PrivateSendReason.REJECTED, text, rejection=RejectionReason.NONCE_TOO_LOW)

    def distribute(self, private: PrivateTransaction, own_key: bytes) -> bytes:
        """Let the manager store `private` and send it to its members, for the caller with the key `own_key` (32 bytes).
        Return the data of the marker: the key of the payload (32 bytes) and, for new members of a flexible group, the
        key of its history (32 bytes). PrivateSendError if the payload is not stored and sent. CallLimitExceededError if
        a flexible group's contract does not answer in time."""
        try:
            return self._groups.distribute(private, own_key)
        except (EnclaveError, EnclaveUnreachableError) as error:
            raise PrivateSendError(PrivateSendReason.MANAGER_FAILED, str(error), manager_error=error) from None

    def submit_marker(self, private: PrivateTransaction, keys: bytes) -> bytes:
        """Make and sign the marker of a payload that the manager has, and give it to the pool. Return the hash of the
        marker (32 bytes).

        `keys` are the key of the payload (32 bytes) and, for new members of a flexible group, the key of its history.
        PrivateSendError if the pool refuses the marker.
        """
        # The nonce of a fixed signer is read and used under one lock. Two markers at the same time would get one nonce.
        with self._signing_lock:
            transaction = self._signer.sign_marker(self._public.next_nonce, private, self._context.mode, keys)
            try:
                self._public.submit(transaction)
            except TransactionRejectedError as rejected:
                raise PrivateSendError(
                    PrivateSendReason.MARKER_REJECTED, str(rejected), rejection=rejected.reason
                ) from None
            return transaction.hash
