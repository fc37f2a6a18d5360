"""Repairing damaged values while the node runs: headers and bodies come from peers, receipts and numbers from the chain.

What was damaged is never used, and whoever asked for it got an error. A value that is needed to make or check a block stops
the node. Must not decide what proves a value, which is `chain.block_repair`'s.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog
import trio

from lacnode.chain.block_repair import BlockRepair, NotProvenError
from lacnode.chain.chain_store import BODIES, HEADERS
from lacnode.p2p.peer import Peer, RequestFailedError
from lacnode.storage.database import Database
from lacnode.storage.storage_errors import DamagedValueError, StorageError
from lacnode.workers.worker import Worker

log = structlog.get_logger("database")

MAX_WAITING_DAMAGES = 64
"""Damaged values that wait to be repaired; more are met again when they are read again."""

RETRY_INTERVAL_SECONDS = 60.0
"""Before a value that could not be repaired is tried again."""

MAX_PEERS_ASKED = 5

MAX_REMEMBERED_DAMAGES = 1024


def read_again(database: Database, table: str, key: bytes) -> None:
    """Read a value that a reader process found damaged. The database tells its listener if it is, and so it is repaired."""
    with suppress(StorageError), database.read() as snapshot:
        snapshot.get(table, key)


class DatabaseRepair:
    """`peers` gives the live sessions; `worker` is the one thread that writes state."""

    def __init__(self, repair: BlockRepair, peers: Callable[[], Sequence[Peer]], worker: Worker) -> None:
        self._repair = repair
        self._peers = peers
        self._worker = worker
        self._met: dict[tuple[str, bytes], float] = {}
        self._in, self._out = trio.open_memory_channel[DamagedValueError](MAX_WAITING_DAMAGES)

    def damaged(self, error: DamagedValueError) -> None:
        """A damaged value was met. Call on the event loop."""
        place, now = (error.table, error.key), trio.current_time()
        if now < self._met.get(place, 0.0):
            return
        if len(self._met) >= MAX_REMEMBERED_DAMAGES:
            self._met.clear()
        self._met[place] = now + RETRY_INTERVAL_SECONDS
        log.error(str(error))
        try:
            self._in.send_nowait(error)
        except trio.WouldBlock:
            del self._met[place]

    async def run(self) -> None:
        """Repair what is met, one value after the other, until cancelled."""
        async for error in self._out:
            where = f"table {error.table}, key 0x{error.key.hex()}"
            try:
                await self._repaired(error.table, error.key)
            except (NotProvenError, StorageError) as failure:
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
            await self._worker.run(partial(self._repair.derive, table, key))

    async def _from_peers(self, take: Callable[[Peer], Awaitable[None]]) -> None:
        reason = "no peer is connected"
        for peer in list(self._peers())[:MAX_PEERS_ASKED]:
            try:
                await take(peer)
            except (NotProvenError, RequestFailedError) as failure:
                reason = f"the last peer that was asked did not help: {failure}"
            else:
                return
        raise NotProvenError(reason)

    async def _header_from(self, peer: Peer, hash_: bytes) -> None:
        headers = await peer.headers(hash_, 1)
        if not headers:
            raise NotProvenError("it does not have the header")
        await self._worker.run(partial(self._repair.store_header, hash_, headers[0]))

    async def _body_from(self, peer: Peer, hash_: bytes) -> None:
        bodies = await peer.bodies([hash_])
        if not bodies:
            raise NotProvenError("it does not have the body")
        await self._worker.run(partial(self._repair.store_body, hash_, bodies[0]))
