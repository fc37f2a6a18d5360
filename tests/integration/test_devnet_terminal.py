"""A devnet whose terminal is closed, or whose reader ends, leaves no node behind."""

import fcntl
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from lacnode.devnet import processes
from lacnode.devnet.devnet_ports import claim_port_offset
from lacnode.devnet.manifest import load_manifest
from tests.support.devnet import COMMAND_SECONDS, Devnet, until

Opened = tuple[subprocess.Popen[bytes], Callable[[], None]]


def opened(process: subprocess.Popen[bytes], ours: int) -> Iterator[Opened]:
    """The program, and what closes our end `ours` of its output. The program is killed at the end."""
    try:
        yield process, lambda: os.close(ours)
    finally:
        process.kill()
        process.wait(COMMAND_SECONDS)


@contextmanager
def in_a_terminal(words: list[str]) -> Iterator[Opened]:
    """The program in a terminal of its own, and what closes that terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        words,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    yield from opened(process, ours)


@contextmanager
def read_by_another(words: list[str]) -> Iterator[Opened]:
    """The program with its output read by another one, as of `| head`, and what ends that one. No signal comes then."""
    ours, theirs = os.pipe()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    yield from opened(process, ours)


def has_node(path: Path) -> bool:
    manifest = load_manifest(path)
    return manifest is not None and processes.find_pid(manifest.nodes[0]) is not None


@pytest.mark.parametrize("opened", [in_a_terminal, read_by_another])
def test_no_node_is_left_when_the_output_is_closed(
    opened: Callable[[list[str]], AbstractContextManager[Opened]], tmp_path: Path
) -> None:
    network = Devnet(tmp_path / "net")
    with claim_port_offset(1) as offset:
        options = ["--validators", "1", "--port-offset", str(offset), "--data-path", str(network.path)]
        try:
            with opened([sys.executable, "-m", "lacnode", "devnet", *options]) as (process, close):
                until(lambda: has_node(network.path), "the node has started")
                close()
                process.wait(COMMAND_SECONDS)
            assert not has_node(network.path)
        finally:
            network.command("stop", check=False)
