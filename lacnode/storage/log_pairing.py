"""The database and the consensus log know each other.

With every commit the database stores how far the log had come by then. So a log that is missing, older than the database,
cut short or from another copy is recognised at the next start. A database that is older than the log is harmless: what
protects is the log. That both are old copies which fit each other, nothing here can tell (`consensus.resumption`).

Must not decide what follows from a loss.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from lacnode.storage.consensus_log import ConsensusLog
from lacnode.storage.database import Database
from lacnode.storage.log_header import LogPosition

TABLE, POSITION = "consensus_log", b"position"


class PairedDatabase(Database, Protocol):
    """A database that can remember something with every commit (`LmdbDatabase`)."""

    def add_commit_values(self, table: str, values: Callable[[], Mapping[bytes, bytes]]) -> None:
        """Put what `values` gives at that moment into `table` with each commit to the disk."""
        ...


def read_known_position(database: Database) -> LogPosition | None:
    """How far the log had come at the database's last commit; None if the database has not seen one."""
    with database.read() as snapshot:
        stored = snapshot.get(TABLE, POSITION)
    return None if stored is None else LogPosition.decode(stored)


def find_loss(log: ConsensusLog, known: LogPosition | None) -> str | None:
    """What is wrong with `log`, of which the database knew `known`; None if no record can be missing."""
    if known is not None and not log.contains(known):
        found = log.position
        if found.identities[0] not in known.identities:
            return "consensus.log does not belong to this database: it is from another copy of the data directory"
        if found.identities[0] == known.identities[0] and found.size >= known.size:
            return "consensus.log is not what the database knew: it went on in another copy of the data directory"
        return "consensus.log is older than the database, or was cut short"
    return "consensus.log was cut short" if log.shortened else None


def pair_log(database: PairedDatabase, log: ConsensusLog) -> None:
    """Have the database remember the log from now on, with every commit."""
    database.add_commit_values(TABLE, lambda: {POSITION: log.position.encode()})
    with database.write() as batch:
        batch.put(TABLE, POSITION, log.position.encode())
