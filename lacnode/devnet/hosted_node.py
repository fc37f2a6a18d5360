"""A node of a devnet in its process: it can be stopped and started again without ending the process, and its blocks can be
held back.

`lacnode --Xdevnet-directory=...` runs a node in this way. It refuses a genesis that does not say that it is a devnet's. No
other node has any of this: the coordinator's commands and the methods for developers do not exist in it.
"""

import time
from enum import Enum
from functools import partial
from pathlib import Path

import structlog
import trio

from lacnode.chainspec.genesis import GenesisError, load_genesis
from lacnode.devnet.control_channel import ControlError, Document, serve_control
from lacnode.devnet.devnet_state import DevnetState, DevnetStateError, load_state, lock_node_files, restore_if_due
from lacnode.devnet.transaction_handover import offer_transactions
from lacnode.evm.budget import ExecutionCancelledError
from lacnode.node.configuration import NodeConfig
from lacnode.node.node import Node
from lacnode.node.node_resources import BlockPacing
from lacnode.node.run_node import NodeStartError, open_node, serve_node
from lacnode.storage.storage_errors import StorageError

log = structlog.get_logger("devnet")


class HostedNodePhase(Enum):
    """What a hosted node does: its files are CLOSED, its files are OPEN and the node does not run, or it is RUNNING.
    Other processes may use its files only while it is CLOSED."""

    CLOSED, OPEN, RUNNING = "closed", "open", "running"


class DevnetPacing:
    """The clock of a devnet, and the last height whose timers may run (None for no limit).

    While `fixed_time` is set, the clock stands still at that time (Unix seconds).
    """

    def __init__(self) -> None:
        self.offset_seconds = 0.0
        self.fixed_time: float | None = None
        self.last_height: int | None = None

    def now(self) -> float:
        """Return the time of the devnet in Unix seconds. Safe to call from any thread."""
        fixed = self.fixed_time
        return time.time() + self.offset_seconds if fixed is None else fixed

    def may_run_timers(self, height: int) -> bool:
        """Return whether the timers of `height` (a block number) may run."""
        return self.last_height is None or height <= self.last_height

    def apply_state(self, state: DevnetState) -> None:
        """Set the clock and the last height as the devnet's shared state has them, and end a fixed time."""
        self.offset_seconds = state.clock_offset_seconds
        self.fixed_time = None
        self.last_height = state.last_height


class HostedNode:
    """The node of `config` in the devnet in the directory `root`. The coordinator can stop it and start it again, and
    this process goes on. `pacing` is its clock, and the limit of its block timers."""

    def __init__(self, config: NodeConfig, root: Path) -> None:
        self.pacing = DevnetPacing()
        self._config = config
        self._root = root
        self._node: Node | None = None
        self._scope = trio.CancelScope()
        self._is_wanted = True
        self._phase = HostedNodePhase.OPEN
        self._change = trio.Event()

    @property
    def node(self) -> Node | None:
        """The node, which may be open without running (`serve`). None while its files are closed."""
        return self._node

    def open(self) -> None:
        """Replace the files of the node by the copy of the last revert if it has not followed this revert yet
        (`restore_if_due`), and open them. It blocks while the coordinator copies files. NodeStartError if a file cannot
        be copied or opened, or if the genesis is not that of a devnet."""
        _check_is_devnet(self._config)
        try:
            with lock_node_files(self._root, exclusive=False):
                self.pacing.apply_state(restore_if_due(self._root, self._config.data_path))
                pacing = BlockPacing(self.pacing.now, self.pacing.may_run_timers)
                self._node = open_node(self._config, pacing=pacing)
        except (DevnetStateError, OSError) as error:
            raise NodeStartError(str(error)) from None

    async def serve(self, nursery: trio.Nursery) -> None:
        """Answer the commands of the coordinator, in a task of `nursery`, and run the node while the coordinator has
        not stopped it, until cancelled. The node must be open before. The caller closes it afterwards.

        StorageError if its files cannot be opened again, OSError if the port for commands cannot be opened. The errors
        of `serve_node` come in exception groups, and so does DevnetStateError if the state of the devnet cannot be
        read.
        """
        await nursery.start(partial(serve_control, self._config.data_path, self._handle))
        while True:
            await self._run_while_wanted()
            # In a thread: closing waits for the readers of the database.
            await trio.to_thread.run_sync(self.close)
            self._enter(HostedNodePhase.CLOSED)
            while not self._is_wanted:
                await self._change.wait()
            # Before the files are opened: a command to stop must wait until they are closed again.
            self._enter(HostedNodePhase.OPEN)
            try:
                await trio.to_thread.run_sync(self.open)
            except NodeStartError as error:
                raise StorageError(str(error)) from None

    def close(self) -> None:
        """Close the files of the node, if they are open. It blocks until the readers of the database have ended."""
        node, self._node = self._node, None
        if node is not None:
            node.close()

    async def _run_while_wanted(self) -> None:
        assert self._node is not None
        self._scope = trio.CancelScope()
        if not self._is_wanted:
            return
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(serve_node, self._node)
                    self._enter(HostedNodePhase.RUNNING)
                    # The coordinator may have changed the state while this node could not receive it yet.
                    self.pacing.apply_state(load_state(self._root))
                    self._node.validator.timers.start_kept_timers()
        # An execution in a thread ends with this error when the node stops.
        except* ExecutionCancelledError:
            log.debug("executions ended with the node")

    def _enter(self, phase: HostedNodePhase) -> None:
        self._phase = phase
        self._notify()

    def _notify(self) -> None:
        self._change.set()
        self._change = trio.Event()

    # -- commands ------------------------------------------------------------------------------------------------

    async def _handle(self, command: str, values: Document) -> Document:
        match command:
            case "pace":
                return self._pace(values)
            case "wait":
                return await self._wait(int(values["number"]), float(values["seconds"]))
            case "add":
                # In a thread: each transaction takes the recovery of its sender.
                await trio.to_thread.run_sync(
                    offer_transactions, self._running_node().pool, list(values["transactions"])
                )
            case "drop":
                return self._drop(values)
            case "stop":
                await self._stop()
            case "start":
                await self._start()
            case _:
                raise ControlError(f"there is no command {command!r}")
        return {}

    def _pace(self, values: Document) -> Document:
        """Take a clock and a last height, and return the state of the node."""
        node = self._running_node()
        if values:
            fixed, height = values["fixed_time"], values["last_height"]
            self.pacing.offset_seconds = float(values["offset_seconds"])
            self.pacing.fixed_time = None if fixed is None else float(fixed)
            self.pacing.last_height = None if height is None else int(height)
            node.validator.timers.start_kept_timers()
        return self._describe(node)

    async def _wait(self, number: int, seconds: float) -> Document:
        """Return the state of the node once it has block `number`."""
        node = self._running_node()
        with trio.move_on_after(seconds):
            await node.wait_for_block(number)
            return self._describe(node)
        raise ControlError(f"there is no block {number} after {seconds:.0f} s; do most of the validators run?")

    def _drop(self, values: Document) -> Document:
        """Remove transactions from the pool: the one with the hash in `values`, those of the sender in it, or all. Return
        their number."""
        pool, hash_, sender = self._running_node().pool, values.get("hash"), values.get("sender")
        chosen = [
            pooled
            for pooled in pool.all()
            if hash_ in (None, pooled.transaction.hash.hex()) and sender in (None, pooled.sender.hex())
        ]
        for pooled in chosen:
            pool.drop(pooled, None)
        return {"number": len(chosen)}

    def _running_node(self) -> Node:
        if self._node is None or self._phase is not HostedNodePhase.RUNNING:
            raise ControlError("the node is not running")
        return self._node

    def _describe(self, node: Node) -> Document:
        head = node.chain.head
        return {
            "number": head.header.number,
            "hash": head.hash.hex(),
            "timestamp": head.header.timestamp,
            "timed_height": node.validator.timers.last_height,
            "peers": [peer.enode.id.hex() for peer in node.network.peers],
        }

    async def _stop(self) -> None:
        self._is_wanted = False
        self._scope.cancel()
        while self._phase is not HostedNodePhase.CLOSED:
            await self._change.wait()

    async def _start(self) -> None:
        self._is_wanted = True
        self._notify()
        while self._phase is not HostedNodePhase.RUNNING:
            await self._change.wait()


def _check_is_devnet(config: NodeConfig) -> None:
    try:
        is_devnet = load_genesis(config.genesis_file).devnet is not None
    except GenesisError as error:
        raise NodeStartError(str(error)) from None
    if not is_devnet:
        raise NodeStartError(
            f"--Xdevnet-directory: {config.genesis_file} is not the genesis of a devnet (config.lacnode.devnet is missing)"
        )
