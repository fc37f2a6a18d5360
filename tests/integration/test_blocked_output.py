"""A node whose standard output and standard error are a pipe that nothing reads."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lacnode.crypto.node_key import NodeKey, save_node_key
from lacnode.devnet.accounts import funded_accounts
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.devnet.devnet_ports import claim_port_offset, node_ports
from tests.support.devnet import DEADLINE, height, until

PIPE_BYTES = 4_096
FILLER = b"filler\n"


class FullPipe:
    """A pipe that takes nothing more, until it is read."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(self.write_end, False)
        try:
            while True:
                os.write(self.write_end, FILLER)
        except BlockingIOError:
            os.set_blocking(self.write_end, True)

    def lines(self) -> list[str]:
        """All that comes until the last writer has ended."""
        os.close(self.write_end)
        with os.fdopen(self.read_end, "rb") as pipe:
            text = pipe.read().decode()
        return [line for line in text.splitlines() if not line.startswith("filler")]


@contextmanager
def lone_validator(files: Path, pipe: FullPipe, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A network of one, and its URL."""
    key = NodeKey.generate()
    save_node_key(files / "key", key)
    genesis = devnet_genesis([key.address], funded_accounts(), 0.2, int(time.time()) - 1)
    (files / "genesis.json").write_text(json.dumps(genesis))
    with claim_port_offset(1) as offset:
        port = node_ports(0, offset).rpc
        command = [sys.executable, "-m", "lacnode"]
        command += [f"--data-path={files / 'data'}", f"--genesis-file={files / 'genesis.json'}"]
        command += [f"--node-private-key-file={files / 'key'}", "--p2p-enabled=false", "--logging=DEBUG"]
        command += ["--rpc-http-enabled", f"--rpc-http-port={port}", *options]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe.write_end, stderr=pipe.write_end)
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(DEADLINE)


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a pipe can be chosen on Linux alone")
class TestAPipeThatNothingReads:
    def test_holds_up_neither_blocks_nor_the_end(self, tmp_path: Path) -> None:
        pipe = FullPipe()
        with lone_validator(tmp_path, pipe) as (process, url):
            until(lambda: height(url) >= 5, "blocks without a log")
            process.terminate()
            assert process.wait(DEADLINE) == 0
        assert not (tmp_path / "data" / "crash.txt").exists()
        assert pipe.lines() == []

    def test_has_every_line_when_it_is_read_at_the_end(self, tmp_path: Path) -> None:
        pipe = FullPipe()
        with lone_validator(tmp_path, pipe) as (process, url):
            until(lambda: height(url) >= 5, "blocks without a log")
            reader = subprocess.Popen(["cat"], stdin=pipe.read_end, stdout=subprocess.PIPE)
            process.terminate()
            assert process.wait(DEADLINE) == 0
            os.close(pipe.write_end)
            os.close(pipe.read_end)
            log = reader.communicate(timeout=DEADLINE)[0].decode()
        assert "could not be written" not in log
        assert log.index("lacnode 0") < log.index("stopping | signal=SIGTERM") < log.index("| stopped")

    def test_still_gets_why_a_node_does_not_start(self, tmp_path: Path) -> None:
        pipe = FullPipe()
        with lone_validator(tmp_path, pipe, "--min-gas-price=0") as (process, _):
            (tmp_path / "genesis.json").write_text("no genesis")
            reader = subprocess.Popen(["cat"], stdin=pipe.read_end, stdout=subprocess.PIPE)
            assert process.wait(DEADLINE) == 1
            os.close(pipe.write_end)
            os.close(pipe.read_end)
            assert b"genesis.json" in reader.communicate(timeout=DEADLINE)[0]
