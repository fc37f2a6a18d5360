"""How signals end a node: in good order, whichever of them comes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.devnet import DEADLINE, until
from tests.support.single_node import single_node


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_node_ends_in_good_order(number: signal.Signals, tmp_path: Path) -> None:
    # A run of the tests that was started by `nohup` ignores SIGHUP, and so would the node.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with single_node(tmp_path, f"--pid-path={tmp_path / 'pid'}"):
        process = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
        os.kill(int(process.parent.name), number)
        until(lambda: process.read_text().rpartition(")")[2].split()[0] == "Z", "the process has ended")
    assert not (tmp_path / "besu.ports").exists()
    log = (tmp_path / "log").read_text()
    assert f"signal={number.name}" in log
    assert log.rstrip().endswith("stopped")


def test_a_program_that_was_told_to_ignore_hang_ups_does_so(tmp_path: Path) -> None:
    """As `nohup` starts it."""
    program = "import signal\nfrom lacnode.stop_signals import stop_signals\nprint(*(s.name for s in stop_signals()))"
    done = subprocess.run(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    assert done.stdout.split() == ["SIGINT", "SIGTERM"]


def test_variables_of_java_are_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG4J_CONFIGURATION_FILE", "/root/lacchain/log.xml")
    with single_node(tmp_path):
        pass
    log = (tmp_path / "log").read_text()
    assert log.count("LOG4J_CONFIGURATION_FILE has no effect") == 1
    assert log.splitlines()[0].endswith(" starts")
