"""Repairing damaged values while the node runs: headers and bodies come from peers, receipts and numbers from the
chain.

A damaged value is never used, and the part that asked for it got an error. A value that is needed to make or check a
block stops the node. Must not decide what proves a value, which `chain.block_repair` does.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog
import trio

from lacnode.chain.block_repair import BlockRepair, RepairNotProvenError
from lacnode.chain.chain_store import BODIES, HEADERS
from lacnode.p2p.peer import NoAnswerError, Peer
from lacnode.storage.database import Database
from lacnode.storage.storage_errors import DamagedValueError, StorageError
from lacnode.workers.worker import Worker

log = structlog.get_logger("database")

MAX_WAITING_DAMAGES = 64
"""Damaged values that wait to be repaired. Further ones are found when they are read again."""

RETRY_INTERVAL_SECONDS = 60.0
"""Seconds before a value that could not be repaired is tried again."""

MAX_PEERS_ASKED = 5

MAX_REMEMBERED_DAMAGES = 1024


def reread_to_start_repair(database: Database, table: str, key: bytes) -> None:
    """Read the value of `key` in `table` that a reader process found damaged. The database of the node then finds the
    damage itself, and its listener starts the repair. It returns nothing and raises no StorageError.
    """
    with suppress(StorageError), database.read() as snapshot:
        snapshot.get(table, key)


class DatabaseRepair:
    """Repairs the damaged values of one database that are reported, once `run` runs: from blocks of peers, or from
    other stored values. `peers` gives the connected peers. `worker` is the one thread that writes state."""

    def __init__(self, repair: BlockRepair, peers: Callable[[], Sequence[Peer]], worker: Worker) -> None:
        self._repair = repair
        self._peers = peers
        self._worker = worker
        self._met: dict[tuple[str, bytes], float] = {}
        self._in, self._out = trio.open_memory_channel[DamagedValueError](MAX_WAITING_DAMAGES)

    def report_damage(self, error: DamagedValueError) -> None:
        """Log a damaged value that was read and queue its repair, once in `RETRY_INTERVAL_SECONDS` for each value. It
        is not queued if `MAX_WAITING_DAMAGES` wait. Call on the event loop.
        """
        place, now = (error.table, error.key), trio.current_time()
        # A value is often read again and again. One report and one attempt each minute are enough.
        if now < self._met.get(place, 0.0):
            return
        if len(self._met) >= MAX_REMEMBERED_DAMAGES:
            # The list only saves work. Without it a value is tried once more.
            self._met.clear()
        self._met[place] = now + RETRY_INTERVAL_SECONDS
        log.error(str(error))
        try:
            self._in.send_nowait(error)
        except trio.WouldBlock:
            # The value was not queued. The next read must be able to report it.
            del self._met[place]

    async def run(self) -> None:
        """Repair the reported values one after the other, until cancelled. The log names each value that was repaired,
        and each that could not be."""
        async for error in self._out:
            where = f"table {error.table}, key 0x{error.key.hex()}"
            try:
                await self._repaired(error.table, error.key)
            except (RepairNotProvenError, StorageError) as failure:
                log.error(f"a damaged value was not repaired: {where}: {failure}")
            else:
                self._met.pop((error.table, error.key), None)
                log.warning(f"a damaged value was repaired: {where}")

    async def _repaired(self, table: str, key: bytes) -> None:
        if table == HEADERS:
            await self._from_peers(lambda peer: self._header_from(peer, key))
        elif table == BODIES:
            await self._from_peers(lambda peer: self._body_from(peer, key))
        else:
            # Receipts and numbers follow from blocks that this node has. No peer could prove them better.
            await self._worker.run(partial(self._repair.recompute_value, table, key))

    async def _from_peers(self, take: Callable[[Peer], Awaitable[None]]) -> None:
        reason = "no peer is connected"
        for peer in list(self._peers())[:MAX_PEERS_ASKED]:
            try:
                await take(peer)
            # A peer may not have the block, or send another one. The hash proves the value, so the next peer is as
            # good.
            except (RepairNotProvenError, NoAnswerError) as failure:
                reason = f"the last peer that was asked did not help: {failure}"
            else:
                return
        raise RepairNotProvenError(reason)

    async def _header_from(self, peer: Peer, hash_: bytes) -> None:
        headers = await peer.requests.request_headers(hash_, 1)
        if not headers:
            raise RepairNotProvenError("it does not have the header")
        await self._worker.run(partial(self._repair.store_header, hash_, headers[0]))

    async def _body_from(self, peer: Peer, hash_: bytes) -> None:
        bodies = await peer.requests.request_bodies([hash_])
        if not bodies:
            raise RepairNotProvenError("it does not have the body")
        await self._worker.run(partial(self._repair.store_body, hash_, bodies[0]))
