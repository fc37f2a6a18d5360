"""The part of `lacnode database verify` that reads: the checks one after the other, and a line for each damage found.

It must not change the database.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lacnode.chain.block_errors import WrongGenesisError
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chain.database_check import DamageFinding, check_blocks, check_state, check_values, find_differences
from lacnode.chainspec.genesis import GenesisError, load_genesis
from lacnode.cli.errors import UsageError
from lacnode.evm.engine import ExecutionError
from lacnode.evm.engine_factory import make_engine
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.storage_errors import RESYNC_ADVICE, StorageCorruptError, StorageError

MAX_LISTED_DAMAGES = 100
PROGRESS_SECONDS = 1.0


def verify_database(data_path: Path, genesis: Path | None, blocks: range | None) -> int:
    """Check the database in `data_path`. If neither `blocks` (numbers) nor `genesis` is None, also execute these blocks
    by the rules of `genesis`, and compare the results with their headers. Blocks above the head are left out. Print the
    number of damages, and the first `MAX_LISTED_DAMAGES`. Return the exit status: 0 if everything is whole, 1 if
    something is damaged, also if the database cannot be opened because of it. UsageError if the database cannot be
    opened for another reason, or the genesis cannot be used."""
    progress = _Progress()
    count = 0
    try:
        database = LmdbDatabase(data_path)
    except StorageCorruptError as error:
        print(f"{error}\n{RESYNC_ADVICE}", file=sys.stderr)
        return 1
    except StorageError as error:
        raise UsageError(str(error)) from None
    try:
        for damage in _damages(database, genesis, blocks, progress):
            count += 1
            progress.damage(damage, is_shown=count <= MAX_LISTED_DAMAGES)
    finally:
        progress.end()
        database.close()
    if not count:
        print("The database is whole.")
        return 0
    print(f"{count} damages found.\n{RESYNC_ADVICE}")
    return 1


def _damages(
    database: LmdbDatabase, genesis: Path | None, blocks: range | None, progress: "_Progress"
) -> Iterator[DamageFinding]:
    # The order is from values to what refers to them. A damaged value is then named by its own place, before a
    # check that needs the value fails on it.
    with database.open_disk_snapshot() as pages:
        yield from check_values(pages, progress)
        yield from check_blocks(pages, progress)
        yield from check_state(pages, progress)
    if blocks is not None and genesis is not None:
        yield from _execute(database, genesis, blocks, progress)


def _execute(database: LmdbDatabase, genesis: Path, blocks: range, progress: "_Progress") -> Iterator[DamageFinding]:
    """Execute `blocks` again and compare with their headers."""
    try:
        spec = load_genesis(genesis)
        engine = make_engine(spec, DatabaseNodeStore(database))
        chain = Blockchain(spec, database, engine)
    except (GenesisError, WrongGenesisError) as error:
        raise UsageError(str(error)) from None
    except StorageCorruptError as error:
        yield DamageFinding("the chain", str(error))
        return
    for number in blocks:
        # Blocks above the head have no state to compare with.
        if number > chain.head.header.number:
            return
        try:
            parent, block = chain.header_at(number - 1), chain.block_at(number)
            assert parent is not None
            assert block is not None
            # The state of the parent is the start of each block. So a damage in one block does not spoil the result of
            # the next one.
            executed = engine.execute(parent.state_root, block.header, block.transactions, chain.hash_at)
            yield from (DamageFinding(f"block {number}", text) for text in find_differences(block.header, executed))
        except (StorageCorruptError, ExecutionError) as error:
            yield DamageFinding(f"block {number}", f"it cannot be executed: {error}")
        progress("executed blocks", number - blocks.start + 1)


class _Progress:
    """The progress on standard output. On a terminal it is one line that is written over. Elsewhere it is one line
    for each kind of thing."""

    def __init__(self) -> None:
        self._what, self._count = "", 0
        self._shown_at = 0.0
        self._is_terminal = sys.stdout.isatty()
        self._start = "\r" if self._is_terminal else ""

    def __call__(self, what: str, count: int) -> None:
        # The next kind of thing begins: the last line of the former kind stays on the screen with its final count.
        if what != self._what:
            self.end()
            self._what = what
        self._count = count
        # A check calls this for every value. Printing each time would take longer than the check.
        if self._is_terminal and time.monotonic() - self._shown_at >= PROGRESS_SECONDS:
            self._shown_at = time.monotonic()
            print(f"\r{what}: {count:,}", end="", flush=True)

    def damage(self, damage: DamageFinding, *, is_shown: bool) -> None:
        if is_shown:
            print(f"{self._start}DAMAGED {damage.place}: {damage.text}", flush=True)

    def end(self) -> None:
        if self._what:
            print(f"{self._start}{self._what}: {self._count:,} checked", flush=True)
        self._what = ""
