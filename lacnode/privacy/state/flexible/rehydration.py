"""Takes over the history of a flexible group: the transactions from before this node was a member.

The member that added this node sends the history. Its transactions are executed here in order, at their own blocks. The
result is stored if it leads to the roots of the history. Follows Besu's `PrivateStateRehydration` and
`PrivacyBlockProcessor.maybeRehydrate`. What this node has executed itself is not executed again, except in the block in
which the new part begins, and if the operator has accepted another history. It works in the thread that executes the
group.

A history is stored in a commit of its own. The caller executes what comes after it in the group. If that fails after an
accepted history, the group ends where the history ends until a later try succeeds.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import structlog

from lacnode.evm.budget import ExecutionBudget
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.keys import to_base64
from lacnode.privacy.state.block_records import BlockRecords
from lacnode.privacy.state.execution import PrivateBlockExecutor, PrivateTask
from lacnode.privacy.state.flexible.contradicting_histories import (
    ContradictingHistory,
    ContradictingHistoryReader,
    ContradictingHistoryWriter,
)
from lacnode.privacy.state.flexible.group_history import GroupHistory, PastTransaction
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import GroupMode, read_history_key
from lacnode.privacy.state.private_payloads import (
    PayloadNotFoundError,
    UnusablePayloadError,
    receive_history_and_sender,
)
from lacnode.privacy.state.private_records import MarkerRoot
from lacnode.privacy.state.private_store import MarkerPlace, PrivateStoreReader, PrivateStoreWriter
from lacnode.privacy.state.unstored_results import ResultsTooLargeError
from lacnode.rate_limited_log import RateLimitedLog

log = structlog.get_logger("privacy")

Placed = tuple[MarkerPlace, PastTransaction]


class _HistoryContradictionError(Exception):
    """A history contradicts what was executed here. The text says how. The group has the state root `found` (32 bytes)
    here."""

    def __init__(self, why: str, found: bytes) -> None:
        super().__init__(why)
        self.found = found


@dataclass(frozen=True, slots=True, repr=False)
class _Told:
    """A history that the key `teller` sent in the payload `payload_key`, with the marker `marker` in block `number`."""

    history: GroupHistory
    payload_key: bytes
    teller: bytes
    placed: Sequence[Placed]
    marker: Transaction
    number: int


class Rehydration:
    """Takes over histories of flexible groups. `create_executor` returns an executor that begins with the private
    states before a block."""

    def __init__(self, context: PrivacyContext, create_executor: Callable[[int], PrivateBlockExecutor]) -> None:
        self._context = context
        self._create_executor = create_executor
        # Any account can send thousands of markers of useless or false histories.
        self._log = RateLimitedLog("privacy", time.monotonic)

    def take_over_history(self, marker: Transaction, number: int, group_id: bytes, budget: ExecutionBudget) -> None:
        """Execute and store the history of the group `group_id` (32 bytes) that `marker` in block `number` announces.
        Nothing happens if it announces none, the manager does not have it, the node has no flexible groups, or all of
        it was executed before.

        A history that contradicts what was executed here is recorded and not taken over, unless the operator has
        accepted it. PayloadUnavailableError or EnclaveUnreachableError if the manager does not give it.
        ExecutionInterruptedError if `budget` ends. A history that is malformed, of another group, whose markers or
        blocks are not in the chain, or whose results are too large for one commit is logged and ignored:
        UnusablePayloadError does not leave this method.
        """
        key = read_history_key(marker)
        if key is None or self._context.mode is GroupMode.OFFCHAIN:
            return
        try:
            history, teller = receive_history_and_sender(self._context.manager, key, budget.check)
            if history.group_id != group_id:
                raise UnusablePayloadError("it is another group's history")
            self._take_over(_Told(history, key, teller, self._placed(history, number, budget), marker, number), budget)
        except PayloadNotFoundError:
            return
        except UnusablePayloadError as useless:
            why = str(useless)
            self._log.warning(why, "a group's history ignored", marker=marker.hash.hex(), why=why)

    def has_taken_over(self, group_id: bytes, key: bytes) -> bool:
        """Return True if the history in the payload `key` (32 bytes) is the last one that was taken over for the group
        `group_id` (32 bytes)."""
        with self._context.database.read() as snapshot:
            return any(key == taken for _, taken in PrivateStoreReader(snapshot).history_keys(group_id))

    def _take_over(self, told: "_Told", budget: ExecutionBudget) -> None:
        group_id, is_accepted = told.history.group_id, self._is_accepted(told)
        try:
            # Without the operator's word, only what comes after the own last transaction is taken over.
            new = told.placed if is_accepted else self._acceptable(told, budget)
        except _HistoryContradictionError as contradiction:
            self._contradicts(told, "a group's history ignored", str(contradiction), contradiction.found)
            return
        if not new:
            return
        start = new[0][0].number
        run = self._create_executor(start)
        # The operator has chosen this history. The state here is removed in the same commit below.
        if is_accepted:
            run.begin_group_empty(group_id)
        by_block = groupby(new, lambda entry: entry[0].number)
        done = [self._carry_out(run, group_id, block, list(entries), budget) for block, entries in by_block]
        expected = [MarkerRoot(past.marker_hash, past.root) for _, past in new]
        # The roots after each transaction are compared, not only the last one. A wrong one in between would be served
        # as an old state.
        found = [root for records in done for root in records.roots.get(group_id, ())]
        # The history is checked by execution: the roots must follow from the transactions. Its sender can otherwise say
        # anything.
        if found != expected:
            event, root = "a group's history does not lead where it is said to", found[-1].root if found else bytes(32)
            self._contradicts(told, event, "its roots are not those of its transactions", root)
            return
        with self._context.database.write() as batch:
            writer = PrivateStoreWriter(batch)
            if is_accepted:
                # All of the history in one commit. A crash in between must not leave a group with half of each history.
                writer.delete_group(group_id, self._context.history.hash_at, told.number)
            writer.write_nodes(run.nodes)
            for records in done:
                records.write(writer)
            # Absent payloads of these markers are still awaited: they may belong to another group than the history says.
            writer.write_history_key(group_id, told.payload_key)
            writer.start_new_revision(group_id)
            histories = ContradictingHistoryWriter(batch)
            histories.remove(group_id, told.teller)
            histories.remove_acceptance(group_id)
        log.info("a group's history was taken over", transactions=len(new), block=told.number)

    def _acceptable(self, told: "_Told", budget: ExecutionBudget) -> Sequence[Placed]:
        """Return the part to take over without the operator's word. _HistoryContradictionError as for `_unknown`, and if
        this node is a member of the group already."""
        new, root = self._unknown(told, budget)
        # The transactions of a history are executed without a question to the contract. A removed member knows the roots
        # up to its removal. It could otherwise write into the group, at one member and not at the others.
        if new and root != EMPTY_TRIE_ROOT and not self._may_learn(told, budget):
            raise _HistoryContradictionError(
                "a member does not need it, and it has more than was carried out here", root
            )
        return new

    def _may_learn(self, told: "_Told", budget: ExecutionBudget) -> bool:
        """Return True if a history may have transactions that this node has not executed: it is no member of the group.

        The contract decides, in the last state here. A member receives every payload itself.
        """
        block, hash_ = self._read_block(told.number)
        run = self._create_executor(self._context.head() + 1)
        found = run.read_members(run.open_public_block(block, hash_), told.history.group_id, budget)
        if found is None:
            return False
        # With tenants and a manager elsewhere no own key is known. Then the sender has to be a member.
        return self._context.own_keys.isdisjoint(found) if self._context.own_keys else told.teller in found

    def _is_accepted(self, told: "_Told") -> bool:
        """Return True if the operator wants this history in place of what was executed here."""
        with self._context.database.read() as snapshot:
            return ContradictingHistoryReader(snapshot).accepted_payload_key(told.history.group_id) == told.payload_key

    def _contradicts(self, told: "_Told", event: str, why: str, found: bytes) -> None:
        """Record a contradicting history. The group is diverged until the operator has decided."""
        # The sender's key is kept with it: the operator has to know which member to ask.
        group_id, place = told.history.group_id, self._place(told.marker.hash)
        self._log.warning(
            event,
            event,
            why=why,
            group=to_base64(group_id),
            member=to_base64(told.teller),
            marker=told.marker.hash.hex(),
        )
        with self._context.database.write() as batch:
            histories = ContradictingHistoryWriter(batch)
            histories.remove_acceptance(group_id)
            # Without a marker in the chain the operator could not choose this history. Then only the log has it.
            if place is not None:
                root = told.history.past[-1].root
                histories.add(ContradictingHistory(group_id, told.teller, told.payload_key, place, root, found))

    def _placed(self, history: GroupHistory, number: int, budget: ExecutionBudget) -> list[Placed]:
        """Return the history with the places of its markers.

        UnusablePayloadError if they are not markers before block `number`, in the chain's order.
        """
        placed: list[Placed] = []
        # The last block is kept. A history may name each of a thousand markers in a block, which would be decoded as often.
        block_of = lru_cache(maxsize=1)(self._context.history.block_of)
        for past in history.past:
            budget.check()
            # Each transaction must have its marker in the chain, in order. A history cannot invent transactions.
            place = self._place(past.marker_hash, block_of)
            if place is None or place.number >= number or (placed and place <= placed[-1][0]):
                raise UnusablePayloadError("its markers are not in the chain, or in another order")
            placed.append((place, past))
        return placed

    def _place(self, marker_hash: bytes, block_of: Callable[[bytes], Block | None] | None = None) -> MarkerPlace | None:
        found = self._context.history.transaction_location(marker_hash)
        block = None if found is None else (block_of or self._context.history.block_of)(found.block_hash)
        if found is None or block is None or not self._context.mode.may_be_marker(block.transactions[found.index]):
            return None
        # Only a marker address counts. Any other transaction in the chain cannot have executed a private one.
        return MarkerPlace(found.number, found.index)

    def _unknown(self, told: "_Told", budget: ExecutionBudget) -> tuple[Sequence[Placed], bytes]:
        """Return the part after the last transaction that was executed here, with its whole block, and the root here.

        _HistoryContradictionError if the group has a state here and the history has none of its roots. Its sender may
        then be a stranger.
        """
        group_id, placed, number = told.history.group_id, told.placed, told.number
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            root = stored.root_at(group_id, self._context.head())
            # From the end: the last common root is where the two histories agree.
            for at in range(len(placed) - 1, -1, -1):
                budget.check()
                place, past = placed[at]
                block_hash = self._context.history.hash_at(place.number) or b""
                if MarkerRoot(past.marker_hash, past.root) in stored.roots_in_block(block_hash, group_id):
                    start = next((later.number for later, _ in placed[at + 1 :]), number)
                    return [entry for entry in placed if entry[0].number >= start], root
            before = stored.root_at(group_id, number)
            if before != EMPTY_TRIE_ROOT:
                raise _HistoryContradictionError("it has nothing of what was carried out here in the group", before)
        return placed, root

    def _carry_out(
        self, run: PrivateBlockExecutor, group_id: bytes, number: int, placed: Sequence[Placed], budget: ExecutionBudget
    ) -> BlockRecords:
        block, hash_ = self._read_block(number)
        # No version: the contract was asked when the transaction was executed first. Its members agreed then.
        tasks = [PrivateTask(place.index, past.private, group_id, is_from_history=True) for place, past in placed]
        try:
            return run.execute_block(block, hash_, tasks, budget)
        except ResultsTooLargeError:
            raise UnusablePayloadError("its results are too large for one commit") from None

    def _read_block(self, number: int) -> tuple[Block, bytes]:
        block, hash_ = self._context.history.block_at(number), self._context.history.hash_at(number)
        if block is None or hash_ is None:
            raise UnusablePayloadError(f"block {number} is not there")
        return block, hash_
