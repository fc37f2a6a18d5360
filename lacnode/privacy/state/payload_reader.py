"""Reads payloads for execution, each when it is needed, and keeps the facts about them (see `known_payloads`)."""

from collections.abc import Callable
from dataclasses import replace

from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.execution import PrivateTask, UnreadTask
from lacnode.privacy.state.known_payloads import KnownPayloadFacts, PayloadFacts
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import GroupMode, read_payload_key
from lacnode.privacy.state.private_payloads import UnusablePayloadError, load_private_task
from lacnode.privacy.state.private_state_quota import PrivateStateQuota
from lacnode.privacy.state.recent_tasks import RecentTaskCache
from lacnode.privacy.state.useless_payloads import UselessPayloads


class PayloadReader:
    """Reads the payloads of markers from the transaction manager and keeps facts about them. Safe to use from any thread."""

    def __init__(self, context: PrivacyContext) -> None:
        self._context = context
        self.known = KnownPayloadFacts(context.database)
        self._quota = PrivateStateQuota(context)
        self._recent = RecentTaskCache()
        self._useless = UselessPayloads()

    def known_facts_of(self, marker: Transaction) -> PayloadFacts | None:
        """Return the facts about the payload of `marker`. None if the payload was never read, or if it was not executed
        with success and its reading is forgotten. Nothing is read from the manager."""
        return self.known.find(read_payload_key(marker))

    def unread_task(self, marker: Transaction, index: int, read: Callable[[], PrivateTask | None]) -> UnreadTask:
        """Return a task for the marker at `index` of its block, with the facts that are known about its payload. The
        payload is not read now: the task calls `read` when it is executed."""
        return UnreadTask(index, self.known_facts_of(marker), self._context.mode is GroupMode.OFFCHAIN, read)

    def read_task(self, marker: Transaction, index: int, *, admitted: bool = False) -> PrivateTask:
        """Read the payload of the marker at `index` of its block, keep its facts, and return it as a task. A payload
        that was read in the last seconds, or that is remembered as one that cannot be executed, is not read again.

        `admitted` says that the payload was accepted before: its group may be unknown now, and the quota does not
        count. PayloadNotFoundError, UnusablePayloadError, PayloadUnavailableError or EnclaveUnreachableError if there
        is no usable payload. PrivateStateFullError if it is not `admitted` and the quota of private state is reached.
        """
        task = self._recent_or_read_task(marker, index, admitted=admitted)
        # After the facts. While the quota is reached, the next marker of the payload then needs no reading for its group.
        if not admitted:
            self.check_space(task)
        return task

    def check_space(self, task: PrivateTask) -> None:
        """Check that `task` may write now. PrivateStateFullError if the quota of private state is reached for its
        sender."""
        self._quota.check_space(task.private.private_from)

    def _recent_or_read_task(self, marker: Transaction, index: int, *, admitted: bool) -> PrivateTask:
        key = read_payload_key(marker)
        recent = self._recent.find(key, admitted=admitted)
        if recent is not None:
            return replace(recent, index=index)
        self._useless.raise_if_useless(key, admitted=admitted)
        try:
            task = load_private_task(self._context.manager, marker, index, self._context.mode, admitted=admitted)
        except UnusablePayloadError as error:
            self._useless.record(key, error, admitted=admitted)
            raise
        # Only after the check that the payload belongs to its group. A false payload must not leave facts.
        self.known.record_read(key, task.group_id, task.private.private_from)
        self._recent.add(key, task, admitted=admitted)
        return task
