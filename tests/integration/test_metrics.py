"""Metrics and health of a real process: a lone validator with a list of accounts, whose transaction manager is away."""

import base64
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from eth_account import Account
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from lacnode.devnet.accounts import DevnetAccount, funded_accounts
from lacnode.devnet.devnet_genesis import CHAIN_ID
from lacnode.privacy.state.privacy_marker import PRIVACY_ADDRESS
from lacnode.rpc.json_rpc_client import CallRefusedError, call
from tests.support.devnet import until
from tests.support.single_node import single_node

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators" / "metrics.md"
LISTED, STRANGER = funded_accounts()[:2]
SOMEBODY = b"\x42" * 20
DECISIONS = "lacnode_permissioning_decisions_total"


pytestmark = pytest.mark.xdist_group("metrics")


@dataclass
class Running:
    """A node: where it answers, and where it says what it counts."""

    url: str
    metrics: str

    def text(self, *names: str) -> str:
        response = httpx.get(f"{self.metrics}/metrics", params=[("name[]", name) for name in names], timeout=30)
        assert response.status_code == 200
        return response.text

    def families(self) -> dict[str, Metric]:
        return {family.name: family for family in text_string_to_metric_families(self.text())}

    def value(self, name: str, **labels: str) -> float:
        """The value of a series, 0 while it is not there."""
        for line in self.text(name).splitlines():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == name and dict(re.findall(r'(\w+)="(.*?)"', found[2] or "")) == labels:
                return float(found[3])
        return 0.0

    def send(self, account: DevnetAccount, to: bytes, data: bytes = b"") -> None:
        nonce = int(str(call(self.url, "eth_getTransactionCount", [account.address, "pending"])), 16)
        fields = {
            "nonce": nonce,
            "gas": 100_000,
            "gasPrice": 0,
            "value": 0,
            "to": to,
            "data": data,
            "chainId": CHAIN_ID,
        }
        raw = "0x" + bytes(Account.sign_transaction(fields, account.private_key).raw_transaction).hex()
        call(self.url, "eth_sendRawTransaction", [raw])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("node")
    (path / "permissions_config.toml").write_text(f'accounts-allowlist=["{LISTED.address}"]\n')
    (path / "manager.pub").write_text(base64.b64encode(bytes(range(32))).decode())
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        options = [
            "--permissions-accounts-config-file-enabled",
            "--privacy-enabled",
            f"--privacy-url=http://127.0.0.1:{nobody.getsockname()[1]}",
            f"--privacy-public-key-file={path / 'manager.pub'}",
            "--metrics-enabled",
            "--metrics-port=0",
            "--host-allowlist=127.0.0.1",
        ]
        with single_node(path, *options) as ports:
            yield Running(f"http://127.0.0.1:{ports['json-rpc']}", f"http://127.0.0.1:{ports['metrics']}")


def test_the_page_lists_every_series_there_is(node: Running) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [A-Z_]+ \| (\w+) \|", PAGE.read_text("utf-8"), re.M))
    node.send(LISTED, SOMEBODY)
    shown = dict(re.findall(r"^# TYPE (\S+) (\S+)$", node.text(), re.M))
    # A series with labels has no line before something happened. `test_metrics_network` compares the names of all.
    assert shown.items() <= rows.items()
    assert {"lacnode_privacy_groups", "lacnode_privacy_missing_payloads", "lacnode_evm_engine"} <= shown.keys()


def test_what_is_served_is_prometheus_text(node: Running) -> None:
    response = httpx.get(f"{node.metrics}/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = node.families()
    assert families["ethereum_blockchain_height"].type == "gauge"
    assert families["besu_permissioning_account_local_check_count"].type == "counter"
    assert all(family.documentation for family in families.values())


def test_names_choose(node: Running) -> None:
    height = "ethereum_blockchain_height"
    assert set(re.findall(r"^(\w+) ", node.text(height, "nothing"), re.M)) == {height}
    assert node.text("nothing") == ""
    assert node.text("") == ""


def test_other_paths_and_methods(node: Running) -> None:
    assert httpx.get(f"{node.metrics}/").status_code == 201
    assert httpx.get(f"{node.metrics}/metrics/more").status_code == 404
    assert httpx.post(f"{node.metrics}/metrics", content=b"x").status_code == 405


def test_the_host_must_be_allowed(node: Running) -> None:
    for host in ("evil.example", "localhost"):
        response = httpx.get(f"{node.metrics}/metrics", headers={"Host": host})
        assert (response.status_code, response.json()) == (403, {"message": "Host not authorized."})


def test_decisions_about_transactions_are_counted(node: Running) -> None:
    check = "besu_permissioning_account_local_check_count"
    names = (check, f"{check}_permitted", f"{check}_unpermitted")
    before = [node.value(name) for name in names]
    refused = node.value(DECISIONS, about="transaction", rule="local-accounts", permitted="no")
    with pytest.raises(CallRefusedError):
        node.send(STRANGER, SOMEBODY)
    assert node.value(DECISIONS, about="transaction", rule="local-accounts", permitted="no") == refused + 1
    assert node.value(names[2]) == before[2] + 1
    assert node.value(names[0]) >= before[0] + 1

    def adds_up() -> bool:
        """Not while a block is built between the questions, which counts what it takes."""
        count, permitted, unpermitted = map(node.value, names)
        return count == permitted + unpermitted

    until(adds_up, "every check counted as one or the other")


def test_a_manager_that_is_away_is_told_and_holds_nothing_up(node: Running) -> None:
    node.send(LISTED, PRIVACY_ADDRESS, bytes(32))
    until(lambda: node.value("lacnode_privacy_missing_payloads") == 1, "the payload is missed")
    assert node.value("lacnode_privacy_groups", status="waiting") == 0
    health = httpx.get(f"{node.url}/readiness")
    assert (health.status_code, health.json()["status"]) == (200, "UP")
    assert health.json()["privacy"] == {"groups": {"current": 0, "waiting": 0, "diverged": 0}, "missingPayloads": 1}
    height = node.value("ethereum_blockchain_height")
    until(lambda: node.value("ethereum_blockchain_height") > height, "the chain goes on")
