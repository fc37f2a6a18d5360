"""The nodes of a devnet as processes: when one that was killed is gone."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from lacnode.devnet import processes
from lacnode.devnet.manifest import DevnetError, DevnetNode, NetworkShape, make_devnet
from tests.support.devnet import until

WITHOUT_ITS_FIRST_THREAD = """
import ctypes, fcntl, os, sys, threading
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
threading.Thread(target=threading.Event().wait).start()
os.write(1, b"locked")
os.close(1)
ctypes.PyDLL(None).syscall(int(sys.argv[2]), 0)
"""
EXIT_ONE_THREAD = {"x86_64": 60, "aarch64": 93}
"""The number of Linux's exit call by machine."""


@pytest.fixture
def node(tmp_path: Path) -> DevnetNode:
    return make_devnet(tmp_path / "net", NetworkShape(validators=1), 1.0, 0).nodes[0]


@pytest.fixture
def halved(tmp_path: Path) -> Iterator[int]:
    """A process that locks the file `lock` and has lost its first thread."""
    if sys.platform != "linux" or os.uname().machine not in EXIT_ONE_THREAD:
        pytest.skip("the number of this machine's exit call is not known here")
    number = EXIT_ONE_THREAD[os.uname().machine]
    words = [sys.executable, "-c", WITHOUT_ITS_FIRST_THREAD, str(tmp_path / "lock"), str(number)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.read() == b"locked"
            arguments = Path(f"/proc/{process.pid}/cmdline")
            until(lambda: not arguments.read_bytes(), "its first thread has ended")
            yield process.pid
        finally:
            process.kill()


def test_a_killed_node_is_gone_when_its_last_thread_is(node: DevnetNode, halved: int, tmp_path: Path) -> None:
    """A thread in the middle of a write outlives the first one, and the database is locked until it has ended too."""
    node.pid_file.write_text(str(halved))
    assert processes.find_pid(node) == halved
    with pytest.raises(DevnetError, match="already runs"):
        processes.start(node)
    processes.kill(node)
    assert processes.find_pid(node) is None
    with (tmp_path / "lock").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_directory_called_lacnode_beside_the_user_is_not_the_program(
    node: DevnetNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacnode").mkdir()
    started: list[list[str]] = []

    def start(words: list[str], **options: object) -> SimpleNamespace:
        started.append(words)
        return SimpleNamespace(pid=os.getpid())

    monkeypatch.setattr(subprocess, "Popen", start)
    processes.start(node)
    monkeypatch.undo()
    program = started[0][: -len(["--config-file", "FILE"])]
    done = subprocess.run([*program, "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("lacnode/v"), done.stderr
