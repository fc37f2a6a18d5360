"""A temporary copy of the repository in which files may be changed and tests run.

The tree that is worked in stays untouched. The copy runs with this Python; its own `lacnode` comes before an installed one.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from tempfile import mkdtemp

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("lacnode", "tests", "genesis", "examples", "docs", "docker", "benchmarks", "pyproject.toml", "README.md")
FIRST_TIME_LIMIT_SECONDS = 300.0
"""For tests without a fault in the tree."""


class Verdict(Enum):
    """How the tests took a fault."""

    CAUGHT = "caught"
    HANGS = "caught (the tests hang)"
    SURVIVED = "SURVIVED"
    BROKEN = "the tests cannot run"


class Tree:
    """One copy, for one test run at a time. A context manager: the copy is removed at the end."""

    def __init__(self) -> None:
        self.root = Path(mkdtemp(prefix="lacnode-mutants-"))
        self.output = ""
        """What the last run printed."""
        self.seconds = 0.0
        """How long the last run took."""
        self._running: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Tree":
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.root / name, symlinks=True)
            elif source.exists():
                shutil.copy2(source, self.root / name)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def verdict(self, mutant: Mutant, limit_seconds: float) -> Verdict:
        """Run the tests of `mutant` with its fault in the tree; afterwards the fault is out again."""
        path = self.root / mutant.file
        original, times = path.read_text(), path.stat()
        path.write_text(mutant.text(self.root))
        try:
            return self.run(mutant.tests, limit_seconds)
        finally:
            path.write_text(original)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def run(self, tests: Sequence[str], limit_seconds: float = FIRST_TIME_LIMIT_SECONDS) -> Verdict:
        """Run `tests`. A fault is caught when one fails, or when they do not end in time."""
        began = time.monotonic()
        try:
            return self._run(tests, limit_seconds)
        finally:
            self.seconds = time.monotonic() - began

    def _run(self, tests: Sequence[str], limit_seconds: float) -> Verdict:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        environment = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        self._running = subprocess.Popen(
            command,
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            self.output, _ = self._running.communicate(timeout=limit_seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            return Verdict.HANGS
        return {0: Verdict.SURVIVED, 1: Verdict.CAUGHT}.get(self._running.returncode, Verdict.BROKEN)

    def stop(self) -> None:
        """End a test run and all that it started."""
        if self._running is not None and self._running.poll() is None:
            os.killpg(self._running.pid, signal.SIGKILL)
            self._running.wait()
