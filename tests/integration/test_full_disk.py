"""A validator whose disk runs full: a real process on a real file system of a few megabytes.

The file system is a tmpfs in a mount namespace of its own, which Linux gives to anybody where user namespaces are
allowed; elsewhere these tests are skipped. A process that waits on its standard input keeps the namespace.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lacnode.crypto.node_key import NodeKey, save_node_key
from lacnode.devnet.accounts import funded_accounts
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.devnet.devnet_ports import claim_port_offset, node_ports
from tests.support.devnet import DEADLINE, ask, height, until

SIZE = "24m"


class SmallDisk:
    """A file system of `SIZE` at `path`, which only commands given to `run` and `start` see."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        script = f'mount -t tmpfs -o size={SIZE} lacnode "$1" && echo mounted && exec cat'
        self._keeper = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout is not None
        self.mounted = self._keeper.stdout.readline() == "mounted\n"

    def close(self) -> str:
        """End it; what went wrong while mounting."""
        return self._keeper.communicate(timeout=DEADLINE)[1].strip()

    def words(self, *command: str) -> list[str]:
        """`command` as it sees the file system."""
        return [
            "nsenter",
            f"--target={self._keeper.pid}",
            "--user",
            "--preserve-credentials",
            "--mount",
            f"--wd={Path.cwd()}",
            *command,
        ]

    def run(self, script: str) -> str:
        """The output of a shell script in the file system's root."""
        words = self.words("sh", "-c", f'cd "$1" && {script}', "sh", str(self.path))
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=DEADLINE).stdout

    def fill(self) -> None:
        """Leave not a byte."""
        self.run("cat /dev/zero >filler 2>/dev/null || true")

    def make_room(self) -> None:
        self.run("rm filler")


class LoneValidator:
    """The one validator of a network, its data on `disk`, its log beside it on another file system."""

    def __init__(self, disk: SmallDisk, files: Path, port: int) -> None:
        key = NodeKey.generate()
        save_node_key(files / "key", key)
        genesis = devnet_genesis([key.address], funded_accounts(), 0.2, int(time.time()) - 1)
        (files / "genesis.json").write_text(json.dumps(genesis))
        self.url = f"http://127.0.0.1:{port}"
        self._log = files / "log"
        self._words = disk.words(
            sys.executable,
            "-m",
            "lacnode",
            f"--data-path={disk.path}",
            f"--genesis-file={files / 'genesis.json'}",
            f"--node-private-key-file={files / 'key'}",
            "--p2p-enabled=false",
            "--rpc-http-enabled",
            f"--rpc-http-port={port}",
            "--min-gas-price=0",
        )

    def start(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(self._words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def block(self, number: int) -> Any:
        return ask(self.url, "eth_getBlockByNumber", hex(number), True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if any(shutil.which(tool) is None for tool in ("unshare", "nsenter", "mount")):
        pytest.skip("needs unshare, nsenter and mount")
    small = SmallDisk(tmp_path / "disk")
    if not small.mounted:
        pytest.skip(f"no file system of our own here: {small.close()}")
    try:
        yield small
    finally:
        small.close()


@pytest.fixture
def validator(disk: SmallDisk, tmp_path: Path) -> Iterator[LoneValidator]:
    with claim_port_offset(1) as offset:
        yield LoneValidator(disk, tmp_path, node_ports(0, offset).rpc)


def test_a_full_disk_stops_the_node_and_costs_nothing(disk: SmallDisk, validator: LoneValidator) -> None:
    process = validator.start()
    try:
        until(lambda: height(validator.url) >= 3, "block 3")
        had = [validator.block(number) for number in range(4)]
        disk.fill()
        assert process.wait(DEADLINE) == 1
        assert_one_message(validator.log, disk.path)

        process = validator.start()
        assert process.wait(DEADLINE) == 1, "it must not start on a full disk"
        assert_one_message(validator.log, disk.path)

        disk.make_room()
        process = validator.start()
        until(lambda: height(validator.url) >= 6, "it goes on")
        assert [validator.block(number) for number in range(4)] == had
        assert "not signed" not in validator.log, "it contradicted itself"
    finally:
        process.terminate()
        process.wait(DEADLINE)
    assert process.returncode == 0, validator.log


def assert_one_message(log: str, path: Path) -> None:
    """One line says what happened, where, and that space is what is missing; there is no traceback."""
    complaints = [line for line in log.splitlines() if "No space left" in line or "disk space" in line]
    assert len(complaints) == 1, log
    assert str(path) in complaints[0]
    assert "Traceback" not in log
    assert "ERROR" not in log.upper().replace(complaints[0].upper(), ""), log
