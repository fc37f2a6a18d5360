"""The pairing of the database and the consensus log: each start checks that they belong together.

With every commit to the disk, the database stores the position of the log. So the next start recognises a log that is
missing, older than the database, cut short, or from another copy. A database that is older than the log is harmless,
because the log is what protects. If both are old copies that fit each other, this file cannot notice it
(`consensus.resumption` can).

This file must not decide what follows from a loss.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from lacnode.storage.consensus_log import ConsensusLog
from lacnode.storage.database import Database
from lacnode.storage.log_header import LogPosition

TABLE, POSITION = "consensus_log", b"position"


class PairedDatabase(Database, Protocol):
    """A database that can store values with every commit (`LmdbDatabase`)."""

    def add_commit_values(self, table: str, values: Callable[[], Mapping[bytes, bytes]]) -> None:
        """From now on call `values` with each commit to the disk, and store its result, a mapping of keys to values, in
        `table` in the same commit. Keys that a later result does not have stay. Nothing is stored now. `values` is
        called in the thread that commits, and must not write to this database. It replaces an earlier function for
        `table`."""
        ...


def read_known_log_position(database: Database) -> LogPosition | None:
    """The position of the log at the last commit of the database. None if the database has not seen a log. Raises
    StorageError."""
    # Read before `pair_log`, which overwrites it.
    with database.read() as snapshot:
        stored = snapshot.get(TABLE, POSITION)
    return None if stored is None else LogPosition.decode(stored)


def find_loss(log: ConsensusLog, known: LogPosition | None) -> str | None:
    """Return a sentence for the operator if records of `log` may be missing or are those of another copy, None if not.
    `known` is the position of the log at the last commit of the database, None if the database has not seen a log.
    Raises OSError if the log cannot be read."""
    if known is not None and not log.continues_from(known):
        found = log.position
        # Three kinds of fault, from the identity to the length: each needs another action of the operator.
        if found.identities[0] not in known.identities:
            return "consensus.log does not belong to this database: it is from another copy of the data directory"
        if found.identities[0] == known.identities[0] and found.size >= known.size:
            return "consensus.log is not what the database knew: it went on in another copy of the data directory"
        return "consensus.log is older than the database, or was cut short"
    # The log itself knows its last size, which may be later than the last commit of the database.
    return "consensus.log was cut short" if log.shortened else None


def pair_log(database: PairedDatabase, log: ConsensusLog) -> None:
    """Store the position of the log in the database now, and with every later commit. Raises StorageError."""
    database.add_commit_values(TABLE, lambda: {POSITION: log.position.encode()})
    # Once at once: a validator may sign for a long time before the next block is committed.
    with database.write() as batch:
        batch.put(TABLE, POSITION, log.position.encode())
