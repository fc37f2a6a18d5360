"""Commands that concern all nodes of a devnet at once: blocks on demand, time, snapshots and reverts.

It runs in the process of the first validator. One command runs at a time. Blocks are made by the consensus of all validators
in every case: the coordinator says only when the timers of a height may run, and what the clock shows.

A snapshot is a power cut of the whole network: every node is stopped, the files of all are copied, then all start again.
A revert is the return of the power at that moment, see `devnet_state`. Every connection ends before it counts, so no
message from before it reaches a node after it. The files include each validator's record of its own signatures, so in the
history that goes on, each one knows everything that it has signed.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import Enum
from pathlib import Path

import structlog
import trio

from lacnode.devnet.control_channel import Document
from lacnode.devnet.devnet_state import SNAPSHOTS, DevnetState, DevnetStateError, load_state, save_state
from lacnode.devnet.hosted_node import HostedNode
from lacnode.devnet.left_out_transactions import LeftOutTransactions
from lacnode.devnet.manifest import DevnetError, DevnetNode
from lacnode.devnet.node_group import COMMAND_SECONDS, CommonHead, NodeGroup
from lacnode.devnet.snapshot_list import NetworkSnapshot, SnapshotList
from lacnode.devnet.transaction_handover import encode_first_transactions, transactions_for_next_block

log = structlog.get_logger("devnet")

RETRY_SECONDS = 1.0

MAX_MINED_BLOCKS = 10_000
"""Blocks that one call may make."""


class BlockMode(Enum):
    """When blocks are made: at every block period, when a transaction waits, or when a client calls a method for it (or
    at an interval, see `Coordinator.set_mode`)."""

    PERIOD, ON_DEMAND, MANUAL = "period", "on demand", "manual"


class Coordinator:
    """The coordinator of the devnet in the directory `root`. `own` is the node of this process. `block_period` is in
    seconds. Commands wait for each other. DevnetStateError from each if the shared state cannot be read or written."""

    def __init__(self, root: Path, own: HostedNode, block_period: float, *, on_demand: bool) -> None:
        self.group = NodeGroup(root)
        self._root = root
        self._own = own
        self._period = max(1, int(block_period)) if block_period >= 1 else 0
        self._state = load_state(root)
        self.mode = BlockMode.ON_DEMAND if on_demand else BlockMode.PERIOD
        self.interval_seconds: float | None = None
        self.snapshots = SnapshotList(root / SNAPSHOTS, kept_copy=self._state.copy)
        self._lock = trio.Lock()
        self._fixed_time: float | None = None
        self._next_timestamp: int | None = None
        self.mode_change = trio.Event()
        """Set when a command sets the mode."""
        self.next_attempt = trio.Event()
        """Set when the next block on demand is made, or has failed."""
        self._left_out = LeftOutTransactions()

    # -- calls of the endpoint -----------------------------------------------------------------------------------

    async def mine(self, count: int = 1, interval_seconds: int = 1, timestamp: int | None = None) -> None:
        """Make `count` blocks, at most `MAX_MINED_BLOCKS`. From one to the next the clock moves by `interval_seconds`,
        and at least by a block period: no interval is waited for. The first has `timestamp` (Unix seconds). None stands
        for that of `set_next_timestamp`, else the clock's. DevnetError if one is not possible: earlier ones stay."""
        if not 0 <= count <= MAX_MINED_BLOCKS:
            raise DevnetError(f"one call makes at most {MAX_MINED_BLOCKS} blocks, not {count}")
        async with self._holding() as (nodes, head):
            wanted = self._next_timestamp if timestamp is None else timestamp
            for index in range(count):
                if index:
                    wanted = head.timestamp + max(interval_seconds, self._period)
                head = await self._mine_one(nodes, head, wanted)
                self._next_timestamp = None

    async def increase_time(self, seconds: int) -> int:
        """Move the clock of all nodes ahead by `seconds`, 0 or more. Return by how many seconds it is ahead of the
        machine's clock. DevnetError if that is not possible."""
        if seconds < 0 or self._state.clock_offset_seconds + seconds > 2**40:
            raise DevnetError(f"the clock cannot be moved by {seconds} s")
        async with self._holding():
            self._change(clock_offset_seconds=self._state.clock_offset_seconds + seconds)
        return int(self._state.clock_offset_seconds)

    async def set_next_timestamp(self, timestamp: int) -> None:
        """Give the next block `timestamp` (Unix seconds), or a slightly later one while blocks are made at every
        period. DevnetError if it is too early or too far."""
        async with self._holding() as (_, head):
            self._check_timestamp(head, timestamp)
            self._next_timestamp = timestamp
            if self.mode is BlockMode.PERIOD:
                self._change(clock_offset_seconds=timestamp - time.time())

    async def set_mode(self, mode: BlockMode, interval_seconds: float | None = None) -> None:
        """Make blocks as `mode` says from now on. With `interval_seconds`, a block is made at each interval too, and
        none on demand. None ends an earlier interval. DevnetError if no node answers."""
        async with self._holding():
            self.mode = mode
            self.interval_seconds = interval_seconds
            self.mode_change.set()
            self.mode_change = trio.Event()

    async def snapshot(self) -> int:
        """Take a snapshot of all nodes, return its id. They stop, unless the head is the last revert's and none has a
        manager. DevnetError if one is paused, silent or at another block. DevnetStateError if no copy can be made."""
        async with self._holding(all_nodes=True) as (nodes, head):
            copy = self._same_copy(head)
            if copy is None:
                copy = self.snapshots.new_copy_number()
                await self.group.copy_files_of_all(nodes, copy)
            return self.snapshots.add(NetworkSnapshot(copy, head.number, head.hash, self._state.clock_offset_seconds))

    async def revert(self, id_: int) -> bool:
        """Take all nodes and the clock's offset back to the snapshot, and forget it with the later ones. Return True,
        or False if there is none with this id. DevnetError, and nothing has changed, if a node is paused, does not
        stop, or has a peer of another network. DevnetError, and the revert counts, if one does not come back."""
        async with self._lock:
            snapshot = self.snapshots.find(id_)
            if snapshot is None:
                return False
            await self._take_back(snapshot.copy, snapshot.number, snapshot.clock_offset_seconds)
            self.snapshots.record_revert(id_)
            return True

    async def reset(self) -> None:
        """Take all nodes back to the genesis block, with the machine's clock, and forget all snapshots. DevnetError as
        for `revert`, and on a devnet with transaction managers. DevnetStateError if no copy can be made."""
        async with self._lock:
            if any(node.privacy_key for node in self.group.manifest().nodes):
                # Their directories hold keys beside the payloads, and only a snapshot has both.
                raise DevnetError(
                    "a devnet with transaction managers has no reset: take evm_snapshot at the start, and evm_revert later"
                )
            copy = self.snapshots.new_empty_copy()
            head = await self._take_back(copy, 0, 0.0)
            self.snapshots.record_reset(NetworkSnapshot(copy, 0, head.hash, 0.0))

    async def _take_back(self, copy: int, number: int, clock_offset_seconds: float) -> CommonHead:
        """Let all nodes go on from the files of a copy, in which their last block is `number`. Return that block.
        DevnetError, and nothing has changed, if a node is in the way."""
        nodes = self.group.running_nodes()
        self.group.check_no_foreign_peers(await self.group.send_to_all(nodes, "pace", {}, COMMAND_SECONDS))
        async with self.group.stopped(nodes):
            self._next_timestamp = self._fixed_time = None
            # From here on the revert counts, also if this process ends now: a node that starts follows it.
            self._change(
                generation=self._state.generation + 1,
                copy=copy,
                clock_offset_seconds=clock_offset_seconds,
                last_height=number,
            )
        head = await self.group.wait_for_block(nodes, number)
        await self._go_on(nodes)
        return head

    async def drop_transactions(self, which: Document) -> int:
        """Remove transactions from the pools of all nodes: the one with the `hash` in `which`, those of its `sender`,
        or all if it is empty (lower-case hexadecimal digits without 0x). Return the highest number that one node
        removed. DevnetError if a node does not do it, or is paused."""
        async with self._holding(all_nodes=True) as (nodes, _):
            dropped = await self.group.send_to_all(nodes, "drop", which, COMMAND_SECONDS)
            # A node may have got one from another node while that one had not dropped it yet.
            await self.group.send_to_all(nodes, "drop", which, COMMAND_SECONDS)
            return max(int(answer["number"]) for answer in dropped)

    # -- transactions that wait ----------------------------------------------------------------------------------

    def has_transaction_for_block(self) -> bool:
        """Return whether a transaction in this node's pool may be in a block that is made now. False also if the last
        blocks, one for each node, left out exactly the transactions that wait."""
        return self._left_out.may_be_in_another_block(self._waiting())

    def may_be_in_next_block(self, hash_: str) -> bool:
        """Return whether the transaction with this hash (64 hexadecimal digits, with or without 0x) in this node's pool
        may be in the next block. False for hexadecimal text of another length. ValueError for other text."""
        return bytes.fromhex(hash_.removeprefix("0x")) in self._waiting()

    def _waiting(self) -> frozenset[bytes]:
        return frozenset(transaction.hash for transaction in transactions_for_next_block(self._own.node, self._now()))

    # -- blocks on demand ----------------------------------------------------------------------------------------

    async def try_make_block(self) -> None:
        """Make one block that no call asks for, and return after it. There is no block if the mode changed meanwhile. A
        failure is not raised: it is logged, and followed by a pause."""
        before, mode = self._waiting(), self.mode_change
        try:
            async with self._holding() as (nodes, head):
                # A command may have changed the mode while this one waited for its turn.
                if self.mode_change is mode:
                    await self._mine_one(nodes, head, self._next_timestamp)
                    self._next_timestamp = None
            self._left_out.record(before & self._waiting(), len(nodes))
        except (DevnetError, DevnetStateError) as error:
            log.warning("no block was made", reason=str(error))
            await trio.sleep(RETRY_SECONDS)
        finally:
            self.next_attempt.set()
            self.next_attempt = trio.Event()

    async def _mine_one(self, nodes: Sequence[DevnetNode], head: CommonHead, timestamp: int | None) -> CommonHead:
        if timestamp is not None:
            self._check_timestamp(head, timestamp)
            self._fixed_time = float(timestamp)
        elif self._now() < head.timestamp + self._period:
            self._change(clock_offset_seconds=head.timestamp + self._period - time.time())
        handed = encode_first_transactions(transactions_for_next_block(self._own.node, self._now()))
        if handed:
            # Before the timers run: the proposer may not have received them from its peers yet.
            await self.group.send_to_all(nodes[1:], "add", {"transactions": handed}, COMMAND_SECONDS, min_answers=0)
        self._change(last_height=head.number + 1)
        await self._pace(nodes)
        try:
            # This node's block counts, see `_holding`.
            return await self.group.wait_for_block(nodes[:1], head.number + 1)
        finally:
            if self._fixed_time is not None:
                # The clock goes on from the time of the block.
                self._change(clock_offset_seconds=self._fixed_time - time.time())
                self._fixed_time = None
                with trio.CancelScope(shield=True):
                    await self._pace(nodes)

    def _check_timestamp(self, head: CommonHead, timestamp: int) -> None:
        earliest = head.timestamp + max(1, self._period)
        if not earliest <= timestamp < 2**40:
            raise DevnetError(f"the next block cannot have the timestamp {timestamp}: the earliest is {earliest}")

    def _now(self) -> float:
        return time.time() + self._state.clock_offset_seconds

    # -- all nodes at once ---------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _holding(self, *, all_nodes: bool = False) -> AsyncIterator[tuple[list[DevnetNode], CommonHead]]:
        """Hold the nodes that run, and let them go on by the mode at the end. With `all_nodes`, all must answer and
        have the same block. Otherwise this node's block counts: a quorum makes blocks also while others are away."""
        async with self._lock:
            nodes = self.group.running_nodes() if all_nodes else self.group.unpaused_nodes()
            try:
                yield nodes, await self._settle(nodes, nodes if all_nodes else nodes[:1])
            finally:
                with trio.CancelScope(shield=True):
                    await self._go_on(nodes)

    async def _go_on(self, nodes: Sequence[DevnetNode]) -> None:
        """Let the nodes go on by the mode."""
        if self.mode is BlockMode.PERIOD:
            self._change(last_height=None)
        await self._pace(nodes)

    async def _settle(self, nodes: Sequence[DevnetNode], complete: Sequence[DevnetNode]) -> CommonHead:
        """Let the nodes finish the height under way, and begin no other. Return the last block of the nodes in `complete`.
        All of them must have it."""
        answers = await self._pace(nodes, is_change=False)
        for _ in range(2):
            # A node may have begun a height before it received the limit. The second turn knows this height, and no
            # node can have begun a later one since.
            highest = max(max(answer["number"], answer["timed_height"]) for answer in answers)
            self._change(last_height=highest)
            answers = await self._pace(nodes)
        return await self.group.wait_for_block(complete, highest)

    async def _pace(self, nodes: Sequence[DevnetNode], *, is_change: bool = True) -> list[Document]:
        """Tell the nodes the clock and the last height. Return the states of those that answer. DevnetError if none does."""
        values: Document = {}
        if is_change:
            values = {
                "offset_seconds": self._state.clock_offset_seconds,
                "fixed_time": self._fixed_time,
                "last_height": self._state.last_height,
            }
        return await self.group.send_to_all(nodes, "pace", values, COMMAND_SECONDS, min_answers=1)

    def _same_copy(self, head: CommonHead) -> int | None:
        """Return the copy that was restored last, if nothing can have changed since."""
        restored = self.snapshots.restored
        # A payload in a transaction manager leaves no trace in the head.
        has_managers = any(node.privacy_key for node in self.group.manifest().nodes)
        return restored.copy if restored is not None and restored.hash == head.hash and not has_managers else None

    def _change(self, **values: object) -> None:
        """Change the shared state. On the disk first: a node that starts now must know what the others are told."""
        state: DevnetState = replace(self._state, **values)  # type: ignore[arg-type]
        if state != self._state:
            save_state(self._root, state)
            self._state = state
