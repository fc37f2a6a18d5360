"""What an attack costs: times between blocks, memory, log lines.

Pure values and readings of /proc. Must not start or stop anything.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lacnode.devnet import processes
from lacnode.devnet.manifest import DevnetNode

MEGABYTE = 2**20


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of `values` do not exceed; infinity where there are none."""
    if not values:
        return math.inf
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class BlockTimes:
    """Seconds between two blocks in a row, and the highest round of consensus that a block needed."""

    p50: float
    p95: float
    longest: float
    blocks: int
    highest_round: int

    @classmethod
    def of(cls, arrivals: Sequence[tuple[float, int]], begin: float, end: float) -> "BlockTimes":
        """`arrivals` are the moments at which blocks came, in seconds, and their rounds, in order.

        The wait that still lasts at `end` counts: a chain that stands still has no interval otherwise.
        """
        before = [moment for moment, _ in arrivals if moment < begin]
        inside = [(moment, round_) for moment, round_ in arrivals if begin <= moment <= end]
        moments = [max(before, default=begin), *(moment for moment, _ in inside)]
        intervals = [later - earlier for earlier, later in itertools.pairwise(moments)]
        waiting = end - moments[-1]
        if waiting > max(intervals, default=0.0):
            intervals.append(waiting)
        return cls(
            p50=percentile(intervals, 0.5),
            p95=percentile(intervals, 0.95),
            longest=max(intervals, default=waiting),
            blocks=len(inside),
            highest_round=max((round_ for _, round_ in inside), default=0),
        )


def memory_bytes(node: DevnetNode) -> int:
    """Private memory of the node's process and its children, 0 if it does not run.

    Pages of the database file belong to the system and are left out; pages that several processes share count once.
    """
    pid = processes.find_pid(node)
    return 0 if pid is None else sum(map(_private_bytes, _with_children(pid)))


def _with_children(pid: int) -> list[int]:
    """A process and all that it has started, as far as they still run."""
    found = [pid]
    for parent in found:
        for file in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, file.read_text("ascii").split())
            except OSError:
                continue
    return found


def _private_bytes(pid: int) -> int:
    """`Pss_Anon` and `Pss_Shmem` of a process, with what it has in swap."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("00"))
    wanted = (fields.get(name, "0 kB") for name in ("Pss_Anon", "Pss_Shmem", "SwapPss"))
    return sum(int(value.split()[0]) * 1024 for value in wanted)


def disk_bytes(node: DevnetNode) -> int:
    """What the files under the node's data path take on the disk. Holes in a file take nothing."""
    return sum(map(_allocated_bytes, node.directory.rglob("*")))


def _allocated_bytes(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0


def log_bytes(node: DevnetNode) -> int:
    """The length of the node's log."""
    try:
        return node.log_file.stat().st_size
    except OSError:
        return 0
