"""A `Ledger` with the face of the database that a consensus log is paired with (`storage.log_pairing`)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from lacnode.chain.chain_store import GENESIS, HEAD, HEADERS, META
from lacnode.storage.log_pairing import POSITION, TABLE
from tests.simulation.ledger import Ledger


class LedgerDatabase:
    """Knows the hashes of genesis and head, the header of the head, and the position of the consensus log, and nothing
    else."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def get(self, table: str, key: bytes) -> bytes | None:
        found = {
            (META, GENESIS): self._ledger.hash_at(0),
            (META, HEAD): self._ledger.head_hash,
            (HEADERS, self._ledger.head_hash): self._ledger.head.encode(),
            (TABLE, POSITION): self._ledger.stored_log_position,
        }
        return found[table, key]

    def put(self, table: str, key: bytes, value: bytes) -> None:
        assert (table, key) == (TABLE, POSITION)
        self._ledger.store_log_position(value)

    def items(self, table: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        raise NotImplementedError

    def delete(self, table: str, key: bytes) -> None:
        raise NotImplementedError

    @contextmanager
    def read(self) -> Iterator["LedgerDatabase"]:
        yield self

    @contextmanager
    def write(self) -> Iterator["LedgerDatabase"]:
        yield self

    @contextmanager
    def group_commits(self) -> Iterator[None]:
        yield

    def add_commit_values(self, table: str, values: Callable[[], Mapping[bytes, bytes]]) -> None:
        assert table == TABLE
        self._ledger.log_position = lambda: values()[POSITION]

    def close(self) -> None:
        """Nothing to release."""
