"""The status of each group: executed, waiting, or another state than that of other members."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from lacnode.privacy.state.flexible.contradicting_histories import ContradictingHistoryReader
from lacnode.privacy.state.long_private_transactions import LongTransactionReader
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_state_quota import PrivateStateQuota
from lacnode.privacy.state.private_states import PrivateStates
from lacnode.privacy.state.private_store import Divergence, PrivateStoreReader
from lacnode.privacy.state.processor import PrivateProcessor


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

    `missing` also counts payloads whose group is not known. `alarms` are texts about the manager's store and the
    private state when they are almost full.
    """

    groups: Mapping[GroupCondition, int]
    missing: int
    alarms: tuple[str, ...] = ()


class GroupStatuses:
    """Reads the status of all groups of this node. Safe to use from any thread."""

    def __init__(self, context: PrivacyContext, processor: PrivateProcessor, states: PrivateStates) -> None:
        self._context = context
        self._processor = processor
        self._states = states
        self._quota = PrivateStateQuota(context)

    def all(self) -> list[GroupStatus]:
        """Return the status of every group that this node has executed something for."""
        return self._read()[0]

    def health(self) -> PrivacyHealth:
        """Return the numbers of groups in each condition and of missing payloads."""
        statuses, anyones = self._read()
        # The numbers alone go to the health page and the metrics. These may be public, and group ids may not.
        counted = Counter(status.condition for status in statuses)
        missing = anyones + sum(status.waiting_for - anyones for status in statuses)
        groups = {condition: counted[condition] for condition in GroupCondition}
        return PrivacyHealth(groups, missing, (*self._context.alarms(), *self._quota.alarms()))

    def _read(self) -> tuple[list[GroupStatus], int]:
        """Return the status of each group, and the number of missing payloads that may belong to any group."""
        # The cursor is read before the snapshot: the state in the snapshot is then at least as new.
        progress = self._processor.progress
        before, queued = progress.cursor, progress.queued if progress.is_waiting_for_manager else 0
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
        waiting += self._count_skipped(stored, group_id, root)
        condition = GroupCondition.WAITING if waiting or is_executing else GroupCondition.CURRENT
        # A divergence is worse than a wait, so it wins.
        condition = GroupCondition.DIVERGED if divergences else condition
        return GroupStatus(group_id, condition, waiting, cursor, root, divergences, is_executing)

    def _count_skipped(self, stored: PrivateStoreReader, group_id: bytes, root: bytes) -> int:
        """Return the number of skipped private nonces: transactions that the other members had and this node did not."""
        highest: dict[bytes, int] = {}
        for sender, nonce in stored.ahead(group_id):
            # Only the highest nonce counts for a sender: the gap is between it and the account's next nonce.
            highest[sender] = max(nonce, highest.get(sender, 0))
        # Without an absent payload nothing can come late. A sender that skips a nonce by mistake must not look like a gap.
        if not highest or not any(stored.absent()):
            return 0
        accounts = self._states.accounts_of(root)
        return sum(max(0, nonce - accounts.nonce(sender)) for sender, nonce in highest.items())


def _contradictions(histories: ContradictingHistoryReader, group_id: bytes) -> list[Divergence]:
    """Return the contradicting histories of a flexible group as divergences."""
    return [Divergence(told.place.number, told.told, told.found, told.teller) for told in histories.of_group(group_id)]
