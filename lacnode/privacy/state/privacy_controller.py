"""The private transactions of one node for JSON-RPC: sending, and reading what was executed.

A read waits a short time for the processor. So a client that has seen its marker mined finds the private receipt. The
content of a group is for its members alone. The caller of these methods has to check that.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from enum import Enum

from lacnode.chain.chain_store import TransactionLocation
from lacnode.crypto.secp256k1 import SignatureError
from lacnode.evm.engine import StateView
from lacnode.evm.private_message import PrivateMessage, PrivateResult
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.execution import check_fields
from lacnode.privacy.state.flexible.contradicting_histories import (
    ContradictingHistoryReader,
    ContradictingHistoryWriter,
)
from lacnode.privacy.state.flexible.flexible_groups import FlexibleGroups
from lacnode.privacy.state.flexible.group_contract_queries import QUERY_GAS_PRICE_WEI, Ask
from lacnode.privacy.state.flexible.group_history_reader import GroupHistoryReader
from lacnode.privacy.state.group_rebuilding import GroupRebuilder
from lacnode.privacy.state.long_execution import LongExecution
from lacnode.privacy.state.long_private_transactions import LongTransactionReader
from lacnode.privacy.state.payload_repair import DUE_AT_ONCE, PayloadRepair
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import (
    PAYLOAD_KEY_BYTES,
    PROXY_ADDRESS,
    GroupMode,
    MarkerSigner,
    read_payload_key,
)
from lacnode.privacy.state.private_payloads import ForeignPayloadError, PayloadNotFoundError, receive_owned
from lacnode.privacy.state.private_records import PrivateReceipt, PrivateStatus
from lacnode.privacy.state.private_store import (
    AbsentMarker,
    Divergence,
    MarkerPlace,
    PrivateNodeStore,
    PrivateStoreReader,
    PrivateStoreWriter,
)
from lacnode.privacy.state.private_transaction import PrivateTransaction, encode_payload_text
from lacnode.privacy.state.processor import PrivateProcessor
from lacnode.privacy.transaction_manager import GroupType, PrivacyGroup

PROCESSOR_WAIT_SECONDS = 2.0
"""The time that a read waits for private execution to reach the public head."""


class WrongGroupTypeError(Exception):
    """A transaction names a group that was not created by name."""


@dataclass(frozen=True, slots=True)
class MarkerSubmitter:
    """The connection to the public node: the next nonce of an account (pending transactions counted) and the pool.

    `submit` raises TransactionRejectedError if the pool refuses the marker.
    """

    next_nonce: Callable[[bytes], int]
    submit: Callable[[Transaction], None]


@dataclass(frozen=True, slots=True, repr=False)
class FoundPrivateTransaction:
    """A private transaction, the place and payload key of its marker, and the group that the manager named."""

    private: PrivateTransaction
    group_id: bytes
    marker_hash: bytes
    payload_key: bytes
    place: TransactionLocation


class GroupCondition(Enum):
    """The condition of a group: all is executed, payloads or long transactions are missing, or members have other states."""

    CURRENT = "current"
    WAITING = "waiting"
    DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """The status of one group.

    `waiting_for` counts the payloads that are missing, or may be missing while the manager does not answer. `number` is the
    block up to which the group is executed, `root` its state root there. `is_executing` says that the group waits for a long
    private transaction.
    """

    group_id: bytes
    condition: GroupCondition
    waiting_for: int
    number: int
    root: bytes
    divergences: tuple[Divergence, ...]
    is_executing: bool = False


@dataclass(frozen=True, slots=True)
class PrivacyHealth:
    """The conditions of all groups without their names: the number of groups in each, and of missing payloads.

    `missing` also counts payloads whose group is not known. `alarms` are texts about the manager's store when it is
    almost full.
    """

    groups: Mapping[GroupCondition, int]
    missing: int
    alarms: tuple[str, ...] = ()


class PrivacyController:
    """The entry point to private transactions. Safe to use from any thread.

    `public_key` is the manager's key that this node acts for (32 bytes). It is None if the node has tenants: each
    caller then brings its own key. `accounts` returns the accounts of a private state by its root. `flexible` is None
    if the manager has the groups.
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
        self.processor = PrivateProcessor(context)
        self.repair = PayloadRepair(context, self.processor)
        self.long_execution = LongExecution(context, self.processor)
        self.mode = context.mode
        self.flexible = (
            FlexibleGroups(context, self._contract_of, self.wait_until_executed)
            if context.mode is GroupMode.FLEXIBLE
            else None
        )
        self._context = context
        self._histories = GroupHistoryReader(context)
        self._rebuilder = GroupRebuilder(context, self.processor)
        self._store = PrivateNodeStore(context.database)
        self._signer = signer
        self._public = public
        self._accounts = accounts
        # Markers are made one at a time, see `announce`.
        self._marking = threading.Lock()

    # -- tenants -----------------------------------------------------------------------------------------------------

    def for_tenant(self, public_key: bytes) -> "PrivacyController":
        """Return a controller that acts for the key `public_key` (32 bytes)."""
        # A shallow copy: all threads, caches and listeners are shared. Only the key differs.
        tenants = copy(self)
        tenants.public_key = public_key
        return tenants

    def may_see_group(self, group_id: bytes, number: int | None = None) -> bool:
        """Return True if this controller's key may know of a group as of block `number` or the head.

        Its members may. Without tenants every caller may. EnclaveError if there is no such group.
        """
        if not self.has_tenants:
            return True
        if self.flexible is None:
            return self.public_key in self.manager.retrieve_group(group_id).members
        group = self.flexible.find(group_id, number)
        # A flexible group that does not exist yet has no secret. Its creator must be able to ask about it.
        return group is None or self.public_key in group.members

    # -- sending -----------------------------------------------------------------------------------------------------

    def check(self, private: PrivateTransaction) -> None:
        """Check the fields, the signature and the nonce of `private`. A nonce that is too high may wait for others.

        TransactionRejectedError or InvalidPrivateTransactionError if it may not be sent.
        """
        check_fields(private, self._context.chain_id)
        try:
            sender = private.sender()
        except SignatureError as error:
            raise TransactionRejectedError(RejectionReason.INVALID_SIGNATURE, str(error)) from None
        # Only a used nonce is refused. Several transactions may be sent before the first one is mined.
        nonce = self.nonce(sender, private.determined_group_id())
        if private.nonce < nonce:
            raise TransactionRejectedError(
                RejectionReason.NONCE_TOO_LOW, f"private nonce {private.nonce} was used, the next is {nonce}"
            )

    def group_of(self, private: PrivateTransaction) -> PrivacyGroup | None:
        """Return the group that `private` names, from the manager. None if it names its recipients."""
        return None if private.group_id is None else self.manager.retrieve_group(private.group_id)

    def distribute(self, private: PrivateTransaction, group: PrivacyGroup | None) -> bytes:
        """Let the manager store and send `private`. Return the key of the payload (32 bytes).

        WrongGroupTypeError, EnclaveError or EnclaveUnreachableError if it fails. Then no marker may be sent.
        """
        payload = encode_payload_text(private)
        if group is None:
            # A transaction without recipients is for the sender alone. The manager needs at least one key.
            recipients = private.private_for or (private.private_from,)
            return self.manager.send(payload, private.private_from, recipients)
        # Besu's rule: a group of recipients is named by its recipients, and not by its id.
        if group.type is not GroupType.PANTHEON:
            raise WrongGroupTypeError(group.type.value)
        return self.manager.send_to_group(payload, self.public_key, group.id)

    def announce(self, private: PrivateTransaction, keys: bytes) -> bytes:
        """Send the marker of a payload that the manager has. Return the hash of the marker.

        `keys` are the key of the payload and, for new members of a flexible group, the key of its history.
        TransactionRejectedError if the pool refuses the marker.
        """
        # The nonce of a fixed signer is read and used under one lock. Two markers at the same time would get one nonce.
        with self._marking:
            transaction = self._signer.sign(self._public.next_nonce, private, self._context.mode, keys)
            self._public.submit(transaction)
            return transaction.hash

    # -- reading -----------------------------------------------------------------------------------------------------

    def wait_until_executed(self, number: int | None = None) -> bool:
        """Wait a short time until block `number`, or the head, is executed privately. Return True if it is."""
        return self.processor.wait_for(self._context.head() if number is None else number, PROCESSOR_WAIT_SECONDS)

    def root(self, group_id: bytes, number: int) -> bytes:
        """Return the group's state root after block `number` (32 bytes)."""
        return self.processor.root_at(group_id, number)

    def state(self, group_id: bytes, number: int) -> StateView:
        """Return the group's own accounts after block `number`."""
        return self._accounts(self.root(group_id, number))

    def nonce(self, sender: bytes, group_id: bytes) -> int:
        """Return the next private nonce of `sender` in a group. Transactions that wait to be mined do not count."""
        self.wait_until_executed()
        return self.state(group_id, self._context.head()).nonce(sender)

    def call(
        self, group_id: bytes, header: BlockHeader, sender: bytes, to: bytes, data: bytes, price: int, deadline: float
    ) -> PrivateResult:
        """Execute a private message after the block of `header`, without effect. CallExpiredError after `deadline`."""
        root, message = self.question(group_id, header, sender, to, data, price)
        return self._executed(header, root, message, deadline)

    def _executed(
        self, header: BlockHeader, root: bytes, message: PrivateMessage, deadline_seconds: float
    ) -> PrivateResult:
        # The public state after the block is opened, so the private message sees the public accounts of that time.
        block = self._context.engine.open_block(header.state_root, header, self._context.history.hash_at)
        return block.execute_private(self._store, root, message, deadline=deadline_seconds)

    def question(
        self, group_id: bytes, header: BlockHeader, sender: bytes, to: bytes, data: bytes, price: int
    ) -> tuple[bytes, PrivateMessage]:
        """Return what `call` executes: the root of the group's state after the block of `header`, and the message."""
        self.wait_until_executed(header.number)
        return self._question(group_id, header, sender, to, data, price)

    def _question(
        self, group_id: bytes, header: BlockHeader, sender: bytes, to: bytes, data: bytes, price: int
    ) -> tuple[bytes, PrivateMessage]:
        root = self.root(group_id, header.number)
        return root, PrivateMessage(sender, self._accounts(root).nonce(sender), to, None, data, price)

    def _contract_of(self, group_id: bytes, number: int | None, deadline_seconds: float) -> Ask:
        """Return the questions to a group's contract. See `flexible_groups.ContractOf`."""
        block = self._context.history.block_at(self._context.head() if number is None else number)

        def ask(data: bytes) -> bytes | None:
            if block is None:
                return None
            root, message = self._question(group_id, block.header, bytes(20), PROXY_ADDRESS, data, QUERY_GAS_PRICE_WEI)
            # The question is executed on the state of the block, with a time limit: the contract is other members'
            # work.
            result = self._executed(block.header, root, message, deadline_seconds)
            return result.output if result.success else None

        return ask

    def find(self, marker_hash: bytes) -> FoundPrivateTransaction | None:
        """Return the private transaction of a mined marker, if the manager has it for this node's key. None if not.

        The errors are those of `private_payloads.receive_owned` except PayloadNotFoundError.
        """
        history = self._context.history
        place = history.transaction_location(marker_hash)
        block = None if place is None else history.block_of(place.block_hash)
        if place is None or block is None:
            return None
        key = read_payload_key(block.transactions[place.index])
        if len(key) != PAYLOAD_KEY_BYTES:
            return None
        # An unknown group passes: the transaction may have been executed before the manager lost the group's record.
        try:
            payload = receive_owned(self.manager, key, self.mode, self.public_key, unknown_passes=True)
        except PayloadNotFoundError:
            return self._find_told(marker_hash, key, place)
        return FoundPrivateTransaction(payload.private, payload.group_id, marker_hash, key, place)

    def why_ignored(self, marker_hash: bytes) -> str | None:
        """Return why the private transaction of a mined marker is not executed: it does not belong to its group.

        None if it belongs to it, or if this node's key cannot read it. The errors are those of `find`.
        """
        try:
            self.find(marker_hash)
        except ForeignPayloadError as foreign:
            return str(foreign)
        return None

    def _find_told(self, marker_hash: bytes, key: bytes, place: TransactionLocation) -> FoundPrivateTransaction | None:
        """Return the transaction that a flexible group's history has for a marker."""
        told = self._histories.told(marker_hash)
        if told is None or not self.may_see_group(told[0]):
            return None
        return FoundPrivateTransaction(told[1], told[0], marker_hash, key, place)

    def receipt(self, found: FoundPrivateTransaction) -> PrivateReceipt | None:
        """Return the private receipt, None while the transaction waits.

        A transaction that was not executed here has a failed receipt, as in Besu.
        """
        place = found.place
        # Not executed yet is not failed. The client has to ask again.
        if not self.wait_until_executed(place.number):
            return None
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            receipt = stored.receipt(place.block_hash, found.marker_hash)
            absent = stored.absent_at(MarkerPlace(place.number, place.index))
            is_long = LongTransactionReader(snapshot).is_at(MarkerPlace(place.number, place.index))
        # A marker waits for its own payload. A record of its history has another key, and its receipt is final.
        waits = is_long or (absent is not None and absent.payload_key == found.payload_key)
        return None if receipt is None and waits else receipt or PrivateReceipt(PrivateStatus.FAILED)

    def executed_at(self, found: FoundPrivateTransaction) -> FoundPrivateTransaction:
        """Return `found` at the marker that executed it, if that is another marker of the same payload. Else `found`.

        Any account may send such a marker first. The receipt of the own marker then says only that the nonce is used.
        """
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            # Only a receipt with the status of a used nonce is looked at. Any other one is this marker's own result.
            own, first = (
                stored.receipt(found.place.block_hash, found.marker_hash),
                stored.first_marker(found.payload_key),
            )
            if own is None or own.status is not PrivateStatus.INVALID or first is None or first[1] == found.marker_hash:
                return found
            place = self._context.history.transaction_location(first[1])
            before = None if place is None else stored.receipt(place.block_hash, first[1])
        if place is None or before is None or before.status is not PrivateStatus.SUCCESSFUL:
            return found
        # The payload is the same, so only the marker and its place change.
        return replace(found, marker_hash=first[1], place=place)

    # -- status ------------------------------------------------------------------------------------------------------

    def statuses(self) -> list[GroupStatus]:
        """Return the status of every group that this node has executed something for."""
        return self._look()[0]

    def standing(self) -> PrivacyHealth:
        """Return the numbers of groups in each condition and of missing payloads."""
        statuses, anyones = self._look()
        # The numbers alone go to the health page and the metrics. These may be public, and group ids may not.
        counted = Counter(status.condition for status in statuses)
        missing = anyones + sum(status.waiting_for - anyones for status in statuses)
        groups = {condition: counted[condition] for condition in GroupCondition}
        return PrivacyHealth(groups, missing, self._context.alarms())

    def _look(self) -> tuple[list[GroupStatus], int]:
        """Return the status of each group, and the number of missing payloads that may belong to any group."""
        # The cursor is read before the snapshot: the state in the snapshot is then at least as new.
        before, queued = self.processor.cursor, self.processor.queued if self.processor.is_stalled else 0
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            cursor = max(before, stored.cursor() or 0)  # a block may have been carried out meanwhile
            anyones = queued + stored.failing()
            long = {first.group_id for first in LongTransactionReader(snapshot).first_of_each_group()}
            groups = sorted({*stored.groups(), *long})
            histories = ContradictingHistoryReader(snapshot)
            return [
                self._status(stored, group, cursor, anyones, group in long, _contradictions(histories, group))
                for group in groups
            ], anyones

    def _status(
        self,
        stored: PrivateStoreReader,
        group_id: bytes,
        cursor: int,
        waiting: int,
        is_executing: bool,
        contradictions: Sequence[Divergence],
    ) -> GroupStatus:
        root, divergences = stored.root_at(group_id, cursor), (*stored.divergences(group_id), *contradictions)
        waiting += self._skipped(stored, group_id, root)
        condition = GroupCondition.WAITING if waiting or is_executing else GroupCondition.CURRENT
        # A divergence is worse than a wait, so it wins.
        condition = GroupCondition.DIVERGED if divergences else condition
        return GroupStatus(group_id, condition, waiting, cursor, root, divergences, is_executing)

    def _skipped(self, stored: PrivateStoreReader, group_id: bytes, root: bytes) -> int:
        """Return the number of skipped private nonces: transactions that the other members had and this node did not."""
        highest: dict[bytes, int] = {}
        for sender, nonce in stored.ahead(group_id):
            # Only the highest nonce counts for a sender: the gap is between it and the account's next nonce.
            highest[sender] = max(nonce, highest.get(sender, 0))
        # Without an absent payload nothing can come late. A sender that skips a nonce by mistake must not look like a gap.
        if not highest or not any(stored.absent()):
            return 0
        accounts = self._accounts(root)
        return sum(max(0, nonce - accounts.nonce(sender)) for sender, nonce in highest.items())

    def accept_history(self, group_id: bytes, teller: bytes) -> bool:
        """Let the history that `teller` sent replace what was executed here. False if no such history contradicts it.

        The private thread does it soon.
        """
        with self._context.database.write() as batch:
            told = ContradictingHistoryReader(batch).told_by(group_id, teller)
            if told is None:
                return False
            # The marker becomes due at once. The private thread then reads the history again and finds it accepted.
            ContradictingHistoryWriter(batch).accept(told)
            marker = self._rebuilder.transaction(told.place)
            PrivateStoreWriter(batch).absent(
                AbsentMarker(told.place, marker.hash, told.payload_key, False, 0, DUE_AT_ONCE, is_preferred=True)
            )
        return True

    def dismiss_history(self, group_id: bytes, teller: bytes) -> bool:
        """Let the history that `teller` sent not count any more. False if there is none."""
        with self._context.database.write() as batch:
            told = ContradictingHistoryReader(batch).told_by(group_id, teller)
            if told is None:
                return False
            ContradictingHistoryWriter(batch).dismiss(told)
            PrivateStoreWriter(batch).found(told.place)  # its history is not asked for again
        return True

    def compare(self, group_id: bytes, number: int, expected: bytes) -> bool:
        """Return True if the group's root after block `number` is `expected`, another member's root.

        If it differs, a divergence without a known member is recorded. It ends when a given root agrees or the group is
        rebuilt.
        """
        # The root is read first. The comparison by hand does not wait for private execution.
        found = self.root(group_id, number)
        with self._context.database.write() as batch:
            if found == expected:
                PrivateStoreWriter(batch).agreed(group_id)
            else:
                PrivateStoreWriter(batch).diverged(group_id, Divergence(number, expected, found))
        return found == expected


def _contradictions(histories: ContradictingHistoryReader, group_id: bytes) -> list[Divergence]:
    """Return the contradicting histories of a flexible group as divergences."""
    return [Divergence(told.place.number, told.told, told.found, told.teller) for told in histories.of(group_id)]
