"""The private transactions of one node for JSON-RPC: sending, and reading what was executed.

The content of a group is for its members alone. The caller of these methods has to check that.
"""

from collections.abc import Callable
from copy import copy

from lacnode.chain.chain_store import TransactionLocation
from lacnode.evm.engine import StateView
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.privacy.state.flexible.flexible_groups import FlexibleGroups
from lacnode.privacy.state.flexible.group_history_reader import GroupHistoryReader
from lacnode.privacy.state.group_directory import GroupDirectory, ManagerGroups
from lacnode.privacy.state.group_divergences import GroupDivergences
from lacnode.privacy.state.group_membership import GroupMembership
from lacnode.privacy.state.group_statuses import GroupStatuses
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import PAYLOAD_KEY_BYTES, GroupMode, MarkerSigner, read_payload_key
from lacnode.privacy.state.private_execution import PrivateExecutionParts
from lacnode.privacy.state.private_payloads import (
    ForeignPayloadError,
    PayloadNotFoundError,
    receive_and_check_ownership,
)
from lacnode.privacy.state.private_receipts import FoundPrivateTransaction, PrivateReceipts
from lacnode.privacy.state.private_send_error import PrivateSendError, PrivateSendReason
from lacnode.privacy.state.private_sending import MarkerSubmitter, PrivateTransactionSender
from lacnode.privacy.state.private_states import PrivateStates
from lacnode.privacy.state.private_store import MarkerPlace
from lacnode.privacy.state.private_transaction import PrivateTransaction, Restriction
from lacnode.privacy.state.tenant_membership import TenantMembership
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError


class PrivacyController:
    """The entry point to private transactions of one node. Safe to use from any thread.

    `public_key` is the manager's key that this node acts for (32 bytes). None means that the node has tenants: each
    caller then brings its own key (`for_tenant`), and the attribute `public_key` is empty, except in the controllers
    that `for_tenant` returns. `signer` signs markers, and `public` gives them to the pool. `accounts` returns the
    accounts of a private state by its root (32 bytes). The attribute `groups` has the flexible groups if the mode of
    `context` is FLEXIBLE, otherwise those of the manager. A node has one kind only.
    """

    def __init__(
        self,
        context: PrivacyContext,
        *,
        public_key: bytes | None,
        signer: MarkerSigner,
        public: MarkerSubmitter,
        accounts: Callable[[bytes], StateView],
    ) -> None:
        self.public_key = public_key or b""
        self.has_tenants = public_key is None
        self.manager = context.manager
        self.mode = context.mode
        self.execution = PrivateExecutionParts(context)
        self.states = PrivateStates(context, self.execution.processor, accounts)
        self.groups: GroupDirectory = _groups_of(context, self.states)
        self.receipts = PrivateReceipts(context, self.states)
        self.statuses = GroupStatuses(context, self.execution.processor, self.states)
        self.divergences = GroupDivergences(context, self.execution.rebuilder, self.states)
        self.sender = PrivateTransactionSender(context, self.states, self.groups, signer, public)
        self._context = context
        self._histories = GroupHistoryReader(context)
        self._memberships = GroupMembership(context, self.groups)

    # -- tenants -----------------------------------------------------------------------------------------------------

    def for_tenant(self, public_key: bytes) -> "PrivacyController":
        """Return a controller that acts for the key `public_key` (32 bytes). It shares everything else with this one,
        which does not change."""
        # A shallow copy: all threads, caches and listeners are shared. Only the key differs.
        tenants = copy(self)
        tenants.public_key = public_key
        return tenants

    def may_see_group(self, group_id: bytes, number: int | None = None) -> bool:
        """Return True if this controller's key may know of the group `group_id` (32 bytes) as of block `number`, or of
        the head for None.

        Its members may, and every caller if it is a flexible group that does not exist yet. Without tenants every
        caller may, and nothing is asked. EnclaveError if there is no such group, EnclaveUnreachableError if the manager
        does not answer, CallLimitExceededError if a flexible group's contract does not answer in time, MissingNodeError
        if the state of that block is not kept.
        """
        if not self.has_tenants:
            return True
        members = self.groups.members_at(group_id, number)
        if members is None:
            # A flexible group that does not exist yet has no secret. Its creator must be able to ask about it. A contract
            # that fails names no members either, and its group has a state.
            number = self._context.head() if number is None else number
            return self.states.root_at(group_id, number) == EMPTY_TRIE_ROOT
        return self.public_key in members

    def membership(self, group_id: bytes) -> TenantMembership:
        """Return the membership of this controller's key in the group `group_id` (32 bytes), to be asked about later."""
        return TenantMembership(group_id, self.public_key, self._memberships)

    # -- sending -----------------------------------------------------------------------------------------------------

    def distribute_and_submit_marker(self, private: PrivateTransaction) -> bytes:
        """Send `private` to its members, and its marker to the pool of the public node. Return the hash of the marker
        (32 bytes). The marker is not mined yet.

        PrivateSendError if the transaction or its marker is not sent. If the pool refuses the marker, the members have
        the payload already. CallLimitExceededError if a flexible group's contract does not answer in time.
        """
        # Besu refuses every other restriction too.
        if private.restriction is not Restriction.RESTRICTED:
            raise PrivateSendError(PrivateSendReason.UNSUPPORTED_RESTRICTION)
        # In a flexible group the manager checks the key, as in Besu. It has the keys of all tenants, so a tenant could send
        # in the name of another.
        if self.groups.has_fixed_members or self.has_tenants:
            self._check_sender_key(private)
        return self.sender.submit_marker(private, self._check_and_distribute(private))

    def distribute(self, private: PrivateTransaction) -> bytes:
        """Check `private` and let the manager send it to its members, without a marker. Return the data of the marker
        that the caller has to make: the key of the payload (32 bytes), for new members of a flexible group followed by
        that of the history.

        PrivateSendError if the transaction is not sent. CallLimitExceededError if a flexible group's contract does not
        answer in time.
        """
        self._check_sender_key(private)
        return self._check_and_distribute(private)

    def _check_and_distribute(self, private: PrivateTransaction) -> bytes:
        self._check_membership(private)
        self.sender.check_apart_from_group(private)
        return self.sender.distribute(private, self.public_key)

    def _check_sender_key(self, private: PrivateTransaction) -> None:
        if private.private_from != self.public_key:
            raise PrivateSendError(PrivateSendReason.WRONG_SENDER_KEY)

    def _check_membership(self, private: PrivateTransaction) -> None:
        """PrivateSendError if the tenant is no member of the group that it names."""
        # A group of `privateFor` has the sender as a member by its construction.
        if private.group_id is None:
            return
        try:
            may_see_group = self.may_see_group(private.group_id)
        except EnclaveError:
            # The manager has no such group. The answer is that for a foreign group: a tenant must not learn which of the
            # two it is.
            may_see_group = False
        except EnclaveUnreachableError as error:
            raise PrivateSendError(PrivateSendReason.MANAGER_FAILED, str(error), manager_error=error) from None
        if not may_see_group:
            raise PrivateSendError(PrivateSendReason.NOT_A_MEMBER)

    # -- reading -----------------------------------------------------------------------------------------------------

    def find_transaction(self, marker_hash: bytes) -> FoundPrivateTransaction | None:
        """Return the private transaction of the mined marker `marker_hash` (32 bytes). None if the marker is unknown or
        has no payload key, or if neither the manager has the payload for this controller's key nor a group history that
        the key may see.

        ForeignPayloadError if the payload does not belong to its group, UnusablePayloadError if it is no private
        transaction. PayloadUnavailableError or EnclaveUnreachableError if the manager does not give it. Also the errors
        of `may_see_group` if a group history is looked at.
        """
        history = self._context.history
        place = history.transaction_location(marker_hash)
        block = None if place is None else history.block_of(place.block_hash)
        if place is None or block is None:
            return None
        key = read_payload_key(block.transactions[place.index])
        if len(key) != PAYLOAD_KEY_BYTES:
            return None
        # An unknown group passes: the transaction may have been executed before the manager lost the group's record. The
        # operator of a node with tenants has no key: any key of the manager reads for it.
        try:
            payload = receive_and_check_ownership(
                self.manager, key, self.mode, self.public_key or None, unknown_passes=True
            )
        except PayloadNotFoundError:
            return self._find_told(marker_hash, key, place)
        return FoundPrivateTransaction(payload.private, payload.group_id, marker_hash, key, place)

    def why_ignored(self, marker_hash: bytes) -> str | None:
        """Return why the private transaction of the mined marker `marker_hash` (32 bytes) does not belong to its group
        and so is not executed. None if it belongs to it, if the marker is unknown, or if this controller's key cannot
        read it.

        The errors are those of `find_transaction` except ForeignPayloadError.
        """
        try:
            self.find_transaction(marker_hash)
        except ForeignPayloadError as foreign:
            return str(foreign)
        return None

    def _find_told(self, marker_hash: bytes, key: bytes, place: TransactionLocation) -> FoundPrivateTransaction | None:
        """Return the transaction that a flexible group's history has for a marker."""
        told = self._histories.find_transaction(marker_hash, MarkerPlace(place.number, place.index), self.may_see_group)
        if told is None:
            return None
        return FoundPrivateTransaction(told[1], told[0], marker_hash, key, place)


def _groups_of(context: PrivacyContext, states: PrivateStates) -> GroupDirectory:
    """Return the groups of the kind that this node has."""
    if context.mode is GroupMode.FLEXIBLE:
        return FlexibleGroups(context, states.contract_asker, states.wait_until_executed)
    return ManagerGroups(context.manager)
