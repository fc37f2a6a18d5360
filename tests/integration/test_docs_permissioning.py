"""Every command of docs/operators/permissioning.md, run in the page's order against a network as the page starts it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from eth_account import Account

from lacnode.crypto.node_key import NodeKey
from tests.support.devnet import ask, running_devnet, until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators" / "permissioning.md"
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    for line in block.splitlines()
    if line
]
MAY_SAY_NO = ("explain",)

pytestmark = pytest.mark.xdist_group("permissioned-devnet")


def test_the_page_shows_commands() -> None:
    assert len(COMMANDS) > 12
    assert all(line.startswith("lacnode ") for line in COMMANDS)


def test_every_command_of_the_page_works(tmp_path: Path) -> None:
    start, *commands = (shlex.split(line)[1:] for line in COMMANDS)
    assert start[0] == "devnet"
    at = start.index("--data-path")
    options = start[1:at] + start[at + 2 :]
    newcomer = NodeKey.generate()
    words = {
        "$ENODE": f"enode://{newcomer.public_key.hex()}@127.0.0.1:30999",
        "$ACCOUNT": Account.create().address,
        "$CONTRACT": "0x" + "42" * 20,
    }
    with running_devnet(tmp_path / "demo", *options) as network:
        words["$OTHER_ENODE"] = network.made("boot-1").enode
        url = network.url("validator-1")
        until(lambda: ask(url, "net_peerCount") == "0x4", "the validators connected")
        for command in commands:
            given = [words.get(word, word) for word in command]
            done = subprocess.run(
                [sys.executable, "-m", "lacnode", *given, "--rpc", url],
                cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60, env=os.environ,
            )  # fmt: skip
            if command[1] in MAY_SAY_NO:
                assert done.stdout.startswith(("yes: ", "no: ")), (command, done.stderr)
                assert done.returncode == (0 if done.stdout.startswith("yes") else 1)
            else:
                assert done.returncode == 0, (command, done.stderr)
