"""`database verify`: checks everything that a stopped node has stored.

A process of its own reads. LMDB maps its file into memory, so a damaged index page can make this process crash. The
first process then says so. Must not change the database.
"""

import importlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lacnode.cli.command_arguments import parse_command_arguments
from lacnode.cli.errors import UsageError
from lacnode.cli.settings_reader import SettingsReader
from lacnode.cli.sources import Settings
from lacnode.storage.storage_errors import RESYNC_ADVICE

KNOWN = {"data-path": None, "genesis-file": None}
CHILD = "LACNODE_VERIFIES_DATABASE"
"""Environment variable of the process that reads. The process that waits for it does not have it."""


def run(words: Sequence[str], settings: Settings) -> int:
    """Verify the database. `words` are those after `database`. Another process reads, and this one waits for it. Return
    the exit status: 0 if everything is whole, 1 if something is damaged or reading crashed. The status is 1 also if the
    other process could not use the database or the genesis: it has printed why. UsageError for a wrong command line,
    without a database, or with `--execute` and no genesis named."""
    # `--execute` takes two values. The parser of sub-commands accepts one value an option, so this option is taken
    # out first.
    words, blocks = _without_range(list(words))
    values, rest = parse_command_arguments(words, KNOWN, command="database")
    if rest != ["verify"]:
        raise UsageError("database verify was expected", 2)
    read = SettingsReader(settings)
    data_path = Path(values["data-path"] or read.data_path)
    genesis = values["genesis-file"] or read.path("genesis-file")
    # All mistakes in the command line are found in the first process. The second one is started only to read.
    if not (data_path / "database" / "data.mdb").exists():
        raise UsageError(f"there is no database in {data_path}")
    if blocks is not None and genesis is None:
        raise UsageError("--genesis-file is missing: blocks are executed by the rules of their network")
    if CHILD not in os.environ:
        return _in_another_process()
    # Loaded in the reading process only: it imports the engines.
    verification = importlib.import_module("lacnode.cli.database_verification")
    return int(verification.verify_database(data_path, None if genesis is None else Path(genesis), blocks))


def _without_range(words: list[str]) -> tuple[list[str], range | None]:
    """Return the words without `--execute FROM TO`, and the block numbers that it names, both ends included.
    UsageError if the two words behind it are no range of blocks."""
    if "--execute" not in words:
        return words, None
    place = words.index("--execute")
    given = words[place + 1 : place + 3]
    # `int` alone would also take spaces, underscores, and digits of other scripts.
    if len(given) < 2 or not all(re.fullmatch("[0-9]{1,19}", word) for word in given):
        raise UsageError("--execute FROM TO: two block numbers were expected", 2)
    first, last = map(int, given)
    if not 0 < first <= last:
        raise UsageError("--execute FROM TO: FROM is at least 1, and TO is not below FROM", 2)
    return words[:place] + words[place + 3 :], range(first, last + 1)


def _in_another_process() -> int:
    status = subprocess.run(
        [sys.executable, "-P", "-m", "lacnode", *sys.argv[1:]], env={**os.environ, CHILD: "1"}
    ).returncode
    # A negative status is the number of the signal that ended the process, such as SIGBUS or SIGSEGV.
    if status >= 0:
        return status
    name = signal.Signals(-status).name
    print(
        f"\nReading crashed ({name}) where the last line stands: index pages of the database are damaged.\n"
        + RESYNC_ADVICE,
        file=sys.stderr,
    )
    return 1
