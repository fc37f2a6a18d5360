"""A process that a signal ended tells the next one."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

CRASHING = """
import os, sys
from pathlib import Path
from lacnode.node.crash_report import CrashReport
report = CrashReport(Path(sys.argv[1]))
if sys.argv[2] == "0":
    report.close()
else:
    os.kill(os.getpid(), int(sys.argv[2]))
"""


def run(directory: Path, number: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CRASHING, str(directory), str(number)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT])
def test_a_crash_is_told_once(tmp_path: Path, number: int) -> None:
    assert run(tmp_path, number).returncode == -number
    said = run(tmp_path, 0)
    assert "the last run crashed (Fatal Python error" in said.stdout
    assert "lacnode database verify" in said.stdout
    assert "crashed" not in run(tmp_path, 0).stdout


@pytest.mark.parametrize("number", [0, signal.SIGKILL])
def test_what_is_no_crash_is_not_told(tmp_path: Path, number: int) -> None:
    run(tmp_path, number)
    assert "crashed" not in run(tmp_path, 0).stdout
