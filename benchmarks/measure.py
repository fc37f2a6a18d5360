"""One measured number, and where it was measured."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Measure:
    """`value` in `unit`, against `aim` (None where the number is only reported); `note` says how it was taken."""

    name: str
    value: float
    unit: str
    aim: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """`met`, `short` or `reported`."""
        if self.aim is None:
            return "reported"
        met = self.value <= self.aim if self.at_most else self.value >= self.aim
        return "met" if met else "short"


def describe_machine() -> dict[str, str | float]:
    """Machine, commit and date of this run, and the load average of the last minute."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} x {_processor()}, {_memory_gib()} GiB, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def _commit() -> str:
    """The commit, and whether something else than earlier results is changed."""
    changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    return (_git("rev-parse", "--short=10", "HEAD") or "unknown") + ("-dirty" if changed else "")


def _git(*words: str) -> str:
    result = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return result.stdout.strip()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
