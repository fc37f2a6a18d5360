"""Foundry's cast and forge, with their default settings, against the developer endpoint of a devnet."""

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

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = mnemonic_accounts()[0]
RECIPIENT = "0x" + "12" * 20
DEADLINE = 240


class Foundry:
    """A project in `directory`, and the tools for it, which ask the node at `url`."""

    def __init__(self, packages: Path, directory: Path, url: str) -> None:
        self.directory = directory
        self._packages = packages
        self._url = url
        (directory / "src").mkdir()
        shutil.copy(ROOT / "examples" / "contracts" / "Token.sol", directory / "src")
        shutil.copytree(packages / "script", directory / "script")

    def run(self, tool: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._packages / "node_modules" / ".bin" / tool), *words, "--rpc-url", self._url],
            cwd=self.directory,
            env={**os.environ, "HOME": str(self.directory), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )

    def says(self, tool: str, *words: str) -> str:
        done = self.run(tool, *words)
        # The status says little: the wrapper of the npm package ends with 0 in any case.
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Error" not in done.stderr, done.stdout + done.stderr
        return done.stdout.strip()

    def script(self, *words: str) -> list[dict[str, Any]]:
        """Run the deployment. The receipts of its transactions."""
        compiler = str(self._packages / "solc")
        self.says("forge", "script", "script/Deploy.s.sol", "--broadcast", "--offline", "--use", compiler, *words)
        (found,) = self.directory.glob("broadcast/Deploy.s.sol/*/run-latest.json")
        receipts: list[dict[str, Any]] = json.loads(found.read_text())["receipts"]
        return receipts


@pytest.fixture(scope="module")
def foundry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foundry]:
    packages = install_packages("foundry")
    path = tmp_path_factory.mktemp("foundry")
    with running_devnet(path / "net", "--validators", "1", "--blocks-on-demand") as network:
        (path / "project").mkdir()
        yield Foundry(packages, path / "project", str(network.status()["developer_url"]))


@pytest.mark.parametrize("signer", [["--private-key", ACCOUNT.private_key], ["--unlocked", "--from", ACCOUNT.address]])
def test_cast_sends_with_a_key_and_by_an_account_of_the_node(foundry: Foundry, signer: list[str]) -> None:
    before = int(foundry.says("cast", "balance", RECIPIENT))
    receipt = json.loads(foundry.says("cast", "send", *signer, RECIPIENT, "--value", "5", "--json"))
    assert (receipt["status"], receipt["type"]) == ("0x1", "0x2")
    assert int(foundry.says("cast", "balance", RECIPIENT)) == before + 5


def test_forge_deploys_and_cast_reads_what_the_contract_did(foundry: Foundry) -> None:
    for signer in (["--private-key", ACCOUNT.private_key], ["--unlocked", "--sender", ACCOUNT.address]):
        created, paid = foundry.script(*signer)
        assert [receipt["status"] for receipt in (created, paid)] == ["0x1", "0x1"]
    token, transfer = created["contractAddress"], "transfer(address,uint256)"
    assert foundry.says("cast", "call", token, "balanceOf(address)(uint256)", RECIPIENT) == "42"
    estimate = foundry.says("cast", "estimate", "--from", ACCOUNT.address, token, transfer, RECIPIENT, "1")
    assert int(estimate) > 21_000
    event = "Transfer(address indexed,address indexed,uint256)"
    logs = foundry.says(
        "cast", "logs", "--from-block", "0", "--to-block", "latest", "--address", token, event, "--json"
    )
    assert len(json.loads(logs)) == 2
    # It fetches the state and executes the transaction itself.
    assert "successfully executed" in foundry.says("cast", "run", paid["transactionHash"])


def test_casts_cheat_calls_change_the_state_and_the_others_say_what_to_do(foundry: Foundry) -> None:
    poor = "0x" + "5e" * 20
    assert foundry.says("cast", "rpc", "anvil_setBalance", poor, "0x1234") == "true"
    assert foundry.says("cast", "balance", poor) == str(0x1234)
    assert foundry.says("cast", "rpc", "anvil_setNonce", poor, "0x7") == "true"
    assert foundry.says("cast", "nonce", poor) == "7"
    assert foundry.says("cast", "rpc", "anvil_setCode", poor, "0x60005460005260206000f3") == "true"
    word = "0x" + "00" * 31 + "2a"
    assert foundry.says("cast", "rpc", "anvil_setStorageAt", poor, "0x0", word) == "true"
    assert foundry.says("cast", "storage", poor, "0") == word
    assert foundry.says("cast", "call", poor) == word
    assert foundry.says("cast", "rpc", "anvil_impersonateAccount", poor) == "true"
    sent = foundry.says("cast", "send", "--unlocked", "--from", poor, RECIPIENT, "--value", "4", "--json")
    assert json.loads(sent)["status"] == "0x1"
    assert foundry.says("cast", "balance", poor) == str(0x1230)
    refused = foundry.run("cast", "rpc", "anvil_setCoinbase", poor)
    assert "block overrides" in refused.stderr
