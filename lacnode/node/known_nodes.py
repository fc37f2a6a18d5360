"""Nodes that this one was connected to, kept for its next start: a network whose boot nodes are gone, or refused by
its rules, finds itself again. Besu keeps none. Must not say which nodes may connect: the rules are asked when a node
is dialled."""

from collections import OrderedDict
from collections.abc import Sequence

import orjson
import structlog
import trio

from lacnode.p2p.wire.enode import Enode, EnodeError
from lacnode.storage.database import Database

log = structlog.get_logger("node")

TABLE, KEY = "known_nodes", b"enodes"
MAX_KNOWN_NODES = 128
WRITE_INTERVAL_SECONDS = 1.0
"""Seconds between two writes."""


class KnownNodes:
    """The enodes of nodes that this node was connected to, kept in `database` for its next start. The constructor reads
    them: StorageError if that fails. A malformed list is logged and replaced by an empty one. `run` writes changes. Use
    it on the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._nodes: OrderedDict[bytes, Enode] = OrderedDict((enode.id, enode) for enode in _read(database))
        self._changed = trio.Event()

    @property
    def enodes(self) -> tuple[Enode, ...]:
        """The enodes, the last connected first."""
        return tuple(reversed(self._nodes.values()))

    def record_session(self, enode: Enode) -> None:
        """Put `enode`, with which there is a session, first in the list. A node that does not listen is left out. Beyond
        `MAX_KNOWN_NODES` the last of the list is dropped, which is the one whose last session began longest ago."""
        # A node that does not listen cannot be dialled at the next start.
        if not enode.is_listening:
            return
        # One that is first already with this enode changes nothing, so nothing is written.
        if self._nodes and self._nodes[next(reversed(self._nodes))] == enode:
            return
        self._nodes[enode.id] = enode
        self._nodes.move_to_end(enode.id)
        if len(self._nodes) > MAX_KNOWN_NODES:
            self._nodes.popitem(last=False)
        self._changed.set()

    async def run(self) -> None:
        """Write changes to the database, at most once in `WRITE_INTERVAL_SECONDS`, until cancelled. StorageError if the
        disk is full or fails.
        """
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            # A copy of the list: the event loop goes on changing it while the thread writes.
            await trio.to_thread.run_sync(_write, self._database, list(self._nodes.values()))
            await trio.sleep(WRITE_INTERVAL_SECONDS)


def _read(database: Database) -> Sequence[Enode]:
    with database.read() as snapshot:
        stored = snapshot.get(TABLE, KEY)
    try:
        return [] if stored is None else [Enode.parse(text, allow_names=True) for text in orjson.loads(stored)]
    except (orjson.JSONDecodeError, EnodeError, TypeError) as error:
        log.warning(f"the nodes that were known cannot be read, and are forgotten: {error}")
        return []


def _write(database: Database, nodes: Sequence[Enode]) -> None:
    with database.write() as batch:
        batch.put(TABLE, KEY, orjson.dumps([str(enode) for enode in nodes]))
