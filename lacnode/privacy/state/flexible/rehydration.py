"""Taking over a flexible group's past: what was carried out while this node was not a member, told by whoever added it, is
carried out here too, in order and at the blocks where it was, and put in place if it leads where it is said to.

Follows Besu's `PrivateStateRehydration` and `PrivacyBlockProcessor.maybeRehydrate`. What this node has carried out itself
is never done again. Works in the thread that executes the group.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

import structlog

from lacnode.evm.budget import ExecutionBudget
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.block_records import BlockRecords
from lacnode.privacy.state.execution import PrivateBlockExecutor, PrivateTask
from lacnode.privacy.state.flexible.group_history import GroupHistory, PastTransaction
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import GroupMode, read_history_key
from lacnode.privacy.state.private_payloads import PayloadNotFoundError, UnusablePayloadError, receive_history
from lacnode.privacy.state.private_records import MarkerRoot
from lacnode.privacy.state.private_store import Divergence, MarkerPlace, PrivateStoreReader, PrivateStoreWriter

log = structlog.get_logger("privacy")

Placed = tuple[MarkerPlace, PastTransaction]


class Rehydration:
    """`create_executor` gives a run that starts with the private states before a block."""

    def __init__(self, context: PrivacyContext, create_executor: Callable[[int], PrivateBlockExecutor]) -> None:
        self._context = context
        self._create_executor = create_executor

    def prepare(self, marker: Transaction, number: int, group_id: bytes, budget: ExecutionBudget) -> None:
        """Take over the history that `marker`, in block `number`, announces to the group of its private transaction, if it
        does and this node was sent it.

        Raises PayloadUnavailableError or EnclaveUnreachableError, and ExecutionInterruptedError when `budget` says so.
        """
        key = read_history_key(marker)
        if key is None or self._context.mode is GroupMode.OFFCHAIN:
            return
        try:
            history = receive_history(self._context.manager, key)
            if history.group_id != group_id:
                raise UnusablePayloadError("it is another group's history")
            self._take_over(history, key, number, budget)
        except PayloadNotFoundError:
            return
        except UnusablePayloadError as useless:
            log.warning("a group's history ignored", marker=marker.hash.hex(), why=str(useless))

    def has(self, key: bytes) -> bool:
        """Whether a group's past was taken over from the payload under `key`."""
        with self._context.database.read() as snapshot:
            return any(key == taken for _, taken in PrivateStoreReader(snapshot).history_keys())

    def _take_over(self, history: GroupHistory, key: bytes, number: int, budget: ExecutionBudget) -> None:
        placed = self._placed(history, number)
        new = self._unknown(history.group_id, placed, number)
        if not new:
            return
        start = new[0][0].number
        run = self._create_executor(start)
        by_block = groupby(new, lambda entry: entry[0].number)
        done = [self._carry_out(run, history.group_id, block, list(entries), budget) for block, entries in by_block]
        expected = [MarkerRoot(past.marker_hash, past.root) for _, past in new]
        found = [root for records in done for root in records.roots.get(history.group_id, ())]
        if found != expected:
            self._diverged(history, start, found)
            return
        with self._context.database.write() as batch:
            writer = PrivateStoreWriter(batch)
            writer.nodes(run.nodes)
            for records in done:
                records.write(writer)
            for place, _ in new:
                writer.found(place)
            writer.history_key(history.group_id, key)
            writer.rebuilt(history.group_id)
        log.info("a group's history was taken over", transactions=len(new), block=number)

    def _placed(self, history: GroupHistory, number: int) -> list[Placed]:
        """The history with the places of its markers; UnusablePayloadError unless they are markers before block
        `number`, in the
        chain's order."""
        placed: list[Placed] = []
        for past in history.past:
            place = self._place(past.marker_hash)
            if place is None or place.number >= number or (placed and place <= placed[-1][0]):
                raise UnusablePayloadError("its markers are not in the chain, or in another order")
            placed.append((place, past))
        return placed

    def _place(self, marker_hash: bytes) -> MarkerPlace | None:
        found = self._context.history.transaction_location(marker_hash)
        block = None if found is None else self._context.history.block_of(found.block_hash)
        if found is None or block is None or not self._context.mode.may_announce(block.transactions[found.index]):
            return None
        return MarkerPlace(found.number, found.index)

    def _unknown(self, group_id: bytes, placed: Sequence[Placed], number: int) -> Sequence[Placed]:
        """What comes after the last one that was carried out here, with all of its own block. UnusablePayloadError if
        the group
        has a state here and none of it is in the history: its sender, who shows no root of the group, may be a stranger."""
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            for at in range(len(placed) - 1, -1, -1):
                place, past = placed[at]
                block_hash = self._context.history.hash_at(place.number) or b""
                if MarkerRoot(past.marker_hash, past.root) in stored.metadata(block_hash, group_id):
                    start = next((later.number for later, _ in placed[at + 1 :]), number)
                    return [entry for entry in placed if entry[0].number >= start]
            if stored.root_at(group_id, number) != EMPTY_TRIE_ROOT:
                raise UnusablePayloadError("it has nothing of what was carried out here in the group")
        return placed

    def _carry_out(
        self, run: PrivateBlockExecutor, group_id: bytes, number: int, placed: Sequence[Placed], budget: ExecutionBudget
    ) -> BlockRecords:
        block, hash_ = self._context.history.block_at(number), self._context.history.hash_at(number)
        if block is None or hash_ is None:
            raise UnusablePayloadError(f"block {number} is not there")
        tasks = [PrivateTask(place.index, past.private, group_id, is_told=True) for place, past in placed]
        return run.block(block, hash_, tasks, budget)

    def _diverged(self, history: GroupHistory, start: int, found: Sequence[MarkerRoot]) -> None:
        """Keep nothing of it, and say so."""
        log.warning("a group's history does not lead where it is said to", block=start)
        root = found[-1].root if found else bytes(32)
        with self._context.database.write() as batch:
            PrivateStoreWriter(batch).diverged(history.group_id, Divergence(start, history.past[-1].root, root))
