"""From the command to block 1 on every node of a four-validator devnet, block period one second."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Measure

ROUNDS = 3


def measure() -> list[Measure]:
    """Median seconds, as processes and in one process."""
    note = f"median of {ROUNDS}"
    processes = sorted(_processes() for _ in range(ROUNDS))[ROUNDS // 2]
    in_process = sorted(_in_process() for _ in range(ROUNDS))[ROUNDS // 2]
    return [
        Measure("command to block 1, four processes", processes, "s", 6.0, at_most=True, note=note),
        Measure("command to block 1, in one process", in_process, "s", 2.5, at_most=True, note=note),
    ]


def _devnet(*words: str) -> list[str]:
    return [sys.executable, "-m", "lacnode", "devnet", *words]


def _processes() -> float:
    with tempfile.TemporaryDirectory() as directory:
        place = ("--data-path", str(Path(directory) / "net"))
        started = time.perf_counter()
        subprocess.run(_devnet("--detach", "--json", *place), check=True, stdout=subprocess.DEVNULL)
        elapsed = time.perf_counter() - started
        subprocess.run(_devnet("stop", *place), check=True, stdout=subprocess.DEVNULL)
    return elapsed


def _in_process() -> float:
    started = time.perf_counter()
    process = subprocess.Popen(_devnet("--in-process", "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()  # printed once block 1 is on every node
    elapsed = time.perf_counter() - started
    process.terminate()
    process.wait(timeout=20)
    process.stdout.close()
    return elapsed
