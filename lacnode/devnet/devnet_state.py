"""The state that all nodes of a devnet share: its clock, the blocks that may begin, and the last revert.

`devnet-state.json` in the directory of the devnet holds it. The coordinator alone writes it, and each node reads it when it
starts. A revert counts from the moment when its generation stands in this file. A node with an older generation copies its
files from the snapshot before it opens them. So no node ever runs with files of another generation.
"""

import fcntl
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lacnode.storage.atomic_file import replace_text
from lacnode.storage.disk import REAL_DISK

STATE_FILE, GENERATION_FILE, LOCK_FILE = "devnet-state.json", "generation", "node-files.lock"
SNAPSHOTS = "snapshots"
NODE_FILES = ("database", "consensus.log", "privacy")
"""The files and directories of a node that a snapshot holds: the chain with the private states, the record of its own
signatures, and the payloads of its transaction manager."""

MAX_STATE_FILE_BYTES = 64 * 1024

FREE_BYTES = 2**30
"""Bytes that a snapshot leaves free on the disk, for the nodes."""


class DevnetStateError(Exception):
    """The files of a devnet cannot be read, written, copied or locked now. The text says why."""


@dataclass(frozen=True, slots=True)
class DevnetState:
    """The shared state of a devnet. `generation` counts the reverts and resets, and `copy` is the number of the copy of
    the nodes' files (`snapshot_directory`) that the last of them restored, None before the first.
    `clock_offset_seconds` is added to the clock of the machine. The timers of heights above `last_height` do not run,
    and with None they run at every height."""

    generation: int = 0
    copy: int | None = None
    clock_offset_seconds: float = 0.0
    last_height: int | None = None


def load_state(root: Path) -> DevnetState:
    """Return the state of the devnet in the directory `root`, and a `DevnetState` of defaults if there is no file yet.
    DevnetStateError if the file is damaged or cannot be read.
    """
    file = root / STATE_FILE
    try:
        if file.stat().st_size > MAX_STATE_FILE_BYTES:
            raise DevnetStateError(f"{file} is longer than {MAX_STATE_FILE_BYTES} bytes")
        document = json.loads(file.read_text("utf-8"))
        copy, height = document["copy"], document["last_height"]
        return DevnetState(
            int(document["generation"]),
            None if copy is None else int(copy),
            float(document["clock_offset_seconds"]),
            None if height is None else int(height),
        )
    except FileNotFoundError:
        return DevnetState()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DevnetStateError(f"{file} cannot be read: {error}") from None


def save_state(root: Path, state: DevnetState) -> None:
    """Write the state of the devnet in one step. DevnetStateError if that fails."""
    try:
        replace_text(root / STATE_FILE, json.dumps(asdict(state)) + "\n")
    except OSError as error:
        raise DevnetStateError(f"{root / STATE_FILE} cannot be written: {error}") from None


@contextmanager
def lock_node_files(root: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock on the files of all nodes of a devnet inside the `with` block, alone if `exclusive`. The
    coordinator holds it alone while it copies files. A node shares it with other nodes while it opens its own.

    With `exclusive`, DevnetStateError at once if a node has the lock. Without it, this blocks while the coordinator has
    the lock. OSError if the lock file cannot be opened.
    """
    with (root / LOCK_FILE).open("ab") as file:
        try:
            # The lock ends with the file, also if the process is killed.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
        except BlockingIOError:
            raise DevnetStateError("a node is starting at this moment; try again") from None
        yield


def snapshot_directory(root: Path, copy: int, node_name: str) -> Path:
    """Return the directory with the files of one node in the copy with this number. It need not exist."""
    return root / SNAPSHOTS / str(copy) / node_name


def check_space(root: Path, directories: Iterable[Path]) -> None:
    """Check that a copy of the files of the nodes in `directories` leaves `FREE_BYTES` on the disk of `root`.
    DevnetStateError if it does not, or if the files cannot be looked at."""
    try:
        needed = sum(_size_of(directory / name) for directory in directories for name in NODE_FILES)
        free = shutil.disk_usage(root).free
    except OSError as error:
        raise DevnetStateError(f"the size of the nodes' files is unknown: {error}") from None
    if free - needed < FREE_BYTES:
        raise DevnetStateError(
            f"a snapshot takes {needed} bytes, and the disk has {free}, of which {FREE_BYTES} stay free: "
            "revert to an earlier snapshot, or free some space"
        )


def _size_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def copy_node_files(source: Path, target: Path) -> None:
    """Copy the `NODE_FILES` from one directory to another, in the place of those that are there. A file that `source`
    does not have is deleted.

    No process may use the files of either directory. DevnetStateError if the copy fails.
    """
    try:
        REAL_DISK.make_directory(target)
        for name in NODE_FILES:
            _remove(target / name)
            if (source / name).is_dir():
                shutil.copytree(source / name, target / name)
            elif (source / name).exists():
                shutil.copy2(source / name, target / name)
    except (OSError, shutil.Error) as error:
        raise DevnetStateError(f"the files of {source} cannot be copied to {target}: {error}") from None


def restore_if_due(root: Path, directory: Path) -> DevnetState:
    """If the devnet was reverted since the files of the node in `directory` were last restored, replace these files by
    the copy of the last revert. A node that was down during a revert follows it in this way. Return the devnet's state.
    No process may use the files. DevnetStateError if they cannot be copied, or the state cannot be read."""
    state = load_state(root)
    if state.copy is not None and _generation_of(directory) < state.generation:
        copy_node_files(snapshot_directory(root, state.copy, directory.name), directory)
        # Last: after a crash in the middle the copy begins again.
        _mark_generation(directory, state.generation)
    return state


def _mark_generation(directory: Path, generation: int) -> None:
    """Record that the files of the node in `directory` belong to `generation`. DevnetStateError if that fails."""
    try:
        replace_text(directory / GENERATION_FILE, f"{generation}\n")
    except OSError as error:
        raise DevnetStateError(f"{directory / GENERATION_FILE} cannot be written: {error}") from None


def _generation_of(directory: Path) -> int:
    try:
        return int((directory / GENERATION_FILE).read_text("ascii"))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise DevnetStateError(f"{directory / GENERATION_FILE} cannot be read: {error}") from None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
