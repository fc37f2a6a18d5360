"""Clients for developers, with their default settings, against the developer endpoint of a devnet."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lacnode.devnet.accounts import mnemonic_accounts
from tests.interop.node_packages import install_packages
from tests.support.devnet import running_devnet

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("developer-clients")]

TOKEN = Path(__file__).resolve().parents[2] / "examples" / "contracts" / "Token.json"
DEADLINE = 240


@pytest.fixture(scope="module")
def packages() -> Path:
    return install_packages("clients")


@pytest.fixture(scope="module")
def url(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The developer endpoint of a devnet. One validator is enough: what the clients see is the same with four, and
    `test_developer_endpoint` has four."""
    path = tmp_path_factory.mktemp("clients") / "net"
    with running_devnet(path, "--validators", "1", "--blocks-on-demand") as network:
        yield str(network.status()["developer_url"])


def run(packages: Path, words: list[str], **environment: str) -> str:
    node = shutil.which("node") or "node"
    finished = subprocess.run(
        [node, *words],
        cwd=packages,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def answers(packages: Path, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(packages, list(words)))
    return found


def test_ethers_6(packages: Path, url: str) -> None:
    said = answers(packages, "ethers6.mjs", url, str(TOKEN))
    # It takes a base fee of 0 for none, and sends the oldest type.
    assert said == {"type": 0, "balance": "42", "events": 1, "signer": True}


def test_ethers_5(packages: Path, url: str) -> None:
    said = answers(packages, "ethers5.mjs", url, str(TOKEN))
    assert said == {"type": 2, "balance": "42", "events": 1, "signer": True}


def test_viem(packages: Path, url: str) -> None:
    said = answers(packages, "viem.mjs", url, str(TOKEN))
    assert said == {
        "type": "0x2",
        "balance": "42",
        "events": 1,
        "signer": True,
        "seconds": 500,
        "reverted": True,
    }


def test_web3_js_4(packages: Path, url: str) -> None:
    said = answers(packages, "web3js.mjs", url, str(TOKEN), mnemonic_accounts()[0].private_key)
    assert said == {"type": 2, "balance": "42", "events": 1}


def test_hardhat_and_its_network_helpers(packages: Path, url: str, tmp_path: Path) -> None:
    said = run(
        packages,
        ["node_modules/.bin/hardhat", "test", "--no-compile"],
        DEVNET_URL=url,
        ARTIFACT=str(TOKEN),
        HARDHAT_DISABLE_TELEMETRY_PROMPT="true",
        HOME=str(tmp_path),
    )
    assert "5 passing" in said
