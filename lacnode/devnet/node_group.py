"""All nodes of a devnet at once: telling them something, stopping them, and copying their files.

Must not decide when that happens: `coordinator` does.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from lacnode.devnet.control_channel import ControlError, Document, send_command
from lacnode.devnet.devnet_state import (
    check_space,
    copy_node_files,
    lock_node_files,
    restore_if_due,
    snapshot_directory,
)
from lacnode.devnet.managers import wait_for_managers
from lacnode.devnet.manifest import DevnetError, DevnetNode, Manifest, load_manifest
from lacnode.devnet.processes import find_pid, is_paused
from lacnode.devnet.request_pause import RequestPause

log = structlog.get_logger("devnet")

COMMAND_SECONDS, STOP_SECONDS, START_SECONDS = 20.0, 60.0, 120.0
"""Time for a node to answer, to close its files, and to copy and open them."""

BLOCK_SECONDS = 60.0
"""Time for the validators to agree on a block."""


@dataclass(frozen=True, slots=True)
class CommonHead:
    """The head that several nodes have in common: its number, its hash (64 hexadecimal digits without 0x) and its
    timestamp in Unix seconds."""

    number: int
    hash: str
    timestamp: int


class NodeGroup:
    """The nodes of the devnet in the directory `root`: they are told what to do, and their files are copied. It starts
    and ends no process (`processes` does): a stopped node has closed its files, and its process goes on. Requests of
    the endpoint wait while nodes are stopped."""

    def __init__(self, root: Path) -> None:
        self.pause = RequestPause()
        self._root = root

    def manifest(self) -> Manifest:
        """Return the devnet as it is now. DevnetError if it is gone, or its manifest cannot be read."""
        manifest = load_manifest(self._root)
        if manifest is None:
            raise DevnetError(f"there is no devnet in {self._root}")
        return manifest

    def running_nodes(self) -> list[DevnetNode]:
        """Return the nodes whose processes run, in the order of the manifest. A node that has closed its files is among
        them. DevnetError if a process is paused, or if the devnet is gone."""
        nodes = [node for node in self.manifest().nodes if find_pid(node) is not None]
        for node in nodes:
            if is_paused(node):
                raise DevnetError(f"{node.name} is paused; resume it first")
        return nodes

    def unpaused_nodes(self) -> list[DevnetNode]:
        """Return the nodes whose processes run and are not paused, in the order of the manifest. DevnetError if the
        devnet is gone."""
        return [node for node in self.manifest().nodes if find_pid(node) is not None and not is_paused(node)]

    async def send_to_all(
        self,
        nodes: Sequence[DevnetNode],
        command: str,
        values: Document,
        seconds: float,
        *,
        min_answers: int | None = None,
    ) -> list[Document]:
        """Send `command` with `values` to all of `nodes` at once. Each has `seconds` to answer. Return the answers in
        the order of the nodes, without those that failed.

        DevnetError with the first failure, after all have answered or failed, if fewer than `min_answers` nodes have
        answered. Without `min_answers`, all of them must answer.
        """
        answers: dict[str, Document] = {}
        failures: list[str] = []

        async def send(node: DevnetNode) -> None:
            try:
                answers[node.name] = await send_command(node.directory, command, values, seconds)
            except ControlError as error:
                failures.append(str(error))

        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(send, node)
        if len(answers) < (len(nodes) if min_answers is None else min_answers):
            raise DevnetError(failures[0] if failures else "no node of this devnet runs")
        return [answers[node.name] for node in nodes if node.name in answers]

    async def wait_for_block(self, nodes: Sequence[DevnetNode], number: int) -> CommonHead:
        """Wait until all of `nodes` have block `number`. Return the head that they have in common, which may be later.
        DevnetError if one does not have the block within `BLOCK_SECONDS`, or if their heads differ."""
        answers = await self.send_to_all(nodes, "wait", {"number": number, "seconds": BLOCK_SECONDS}, BLOCK_SECONDS)
        heads = {(answer["number"], answer["hash"], answer["timestamp"]) for answer in answers}
        if len(heads) != 1:
            raise DevnetError("the nodes are not at the same block")
        return CommonHead(*heads.pop())

    def check_no_foreign_peers(self, answers: Sequence[Document]) -> None:
        """Raise DevnetError if one of the nodes with these states (answers to `pace`) is connected to a node that is
        not in the manifest."""
        own = {node.node_id for node in self.manifest().nodes}
        if not all(own.issuperset(answer["peers"]) for answer in answers):
            raise DevnetError(
                "a node that does not belong to this devnet is connected; it would keep the blocks that a revert takes back"
            )

    @asynccontextmanager
    async def stopped(self, nodes: Sequence[DevnetNode]) -> AsyncIterator[None]:
        """Stop `nodes` while the `with` block runs: they close their files, and their processes go on. Start them again
        after it, also if the block failed or did not run. Requests of the endpoint wait meanwhile.

        The block does not run, with DevnetError, if one does not close its files, or if a node of the devnet that is
        not in `nodes` runs by then, or one is paused. It does not run, with DevnetStateError, if a node that is not in
        `nodes` is opening its files. DevnetError after the block if one does not start again, or if the managers do not
        meet each other.
        """
        async with self.pause.hold_requests():
            try:
                await self.send_to_all(nodes, "stop", {}, STOP_SECONDS)
                # A node that is started by hand in this moment waits for the lock before it opens its files.
                with lock_node_files(self._root, exclusive=True):
                    started = {node.name for node in self.running_nodes()} - {node.name for node in nodes}
                    if started:
                        raise DevnetError(f"{', '.join(sorted(started))} was started at this moment; try again")
                    yield
            finally:
                with trio.CancelScope(shield=True):
                    await self.send_to_all(nodes, "start", {}, START_SECONDS)
            # A private transaction that is sent before the managers know each other would fail.
            await trio.to_thread.run_sync(wait_for_managers, nodes, START_SECONDS)

    async def copy_files_of_all(self, nodes: Sequence[DevnetNode], copy: int) -> None:
        """Copy the files of every node of the devnet, also of those that are down, to the snapshot directory with the
        number `copy`. `nodes` are those that run: they are stopped for it. The errors are those of `stopped`.
        DevnetStateError also if the files cannot be copied, or if too little of the disk would be left. After an error
        a part of the copy may be there."""
        # Nodes that are down too: a revert must take them back like the others.
        all_nodes = self.manifest().nodes
        await trio.to_thread.run_sync(check_space, self._root, [node.directory for node in all_nodes])
        async with self.stopped(nodes):
            for node in all_nodes:
                target = snapshot_directory(self._root, copy, node.name)
                # A node that was down during the last revert has not followed it yet.
                await trio.to_thread.run_sync(restore_if_due, self._root, node.directory)
                await trio.to_thread.run_sync(copy_node_files, node.directory, target)

    async def start_stopped_nodes(self) -> None:
        """Start the nodes that an earlier coordinator stopped and did not start again. A node that does not answer is
        passed over. DevnetError if the devnet is gone.
        """
        for node in self.manifest().nodes:
            if find_pid(node) is not None and not is_paused(node):
                try:
                    await send_command(node.directory, "start", {}, COMMAND_SECONDS)
                except ControlError as error:
                    log.debug("no command reached a node", reason=str(error))
