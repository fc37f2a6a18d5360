"""`lacnode devnet --privacy --flexible-groups`: real processes and managers, and members that come and go."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.devnet import Devnet, ask, running_devnet, until

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.xdist_group("private-devnet")


def said(path: Path) -> str:
    command = [sys.executable, "-m", "examples.flexible_group", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


def receipt(network: Devnet, marker: str) -> object:
    return ask(network.url("writer-3"), "priv_getTransactionReceipt", marker)


def test_members_come_and_go_and_a_wiped_one_has_its_groups_past_again(tmp_path: Path) -> None:
    path = tmp_path / "net"
    options = ("--privacy", "--flexible-groups", "--validators", "1", "--block-period", "0.2")
    with running_devnet(path, *options) as network:
        told = said(path)
        assert "deployed: writer-1 sees 1000, writer-2 sees 1000, writer-3 sees nothing" in told
        assert "writer-3 added: writer-1 sees 1000, writer-2 sees 1000, writer-3 sees 1000" in told
        assert "writer-2 removed, 400 spent: writer-1 sees 600, writer-2 sees 1000, writer-3 sees 600" in told
        deployment = re.findall(r"deployment (0x[0-9a-f]{64})", told)[0]
        kept = receipt(network, deployment)
        assert kept is not None
        (group,) = ask(network.url("writer-1"), "lac_privacyGroups")
        network.command("kill", "writer-3")
        directory = path / "nodes" / "writer-3"
        shutil.rmtree(directory / "database")
        for file in (directory / "privacy").glob("*.sqlite*"):
            file.unlink()
        network.command("start", "writer-3")

        def has_all() -> bool:
            groups = ask(network.url("writer-3"), "lac_privacyGroups") or []
            return [found["stateRoot"] for found in groups] == [group["stateRoot"]]

        until(has_all, "the wiped member has the group's state")
        assert receipt(network, deployment) == kept
