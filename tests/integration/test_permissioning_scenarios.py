"""Failures that permissioned networks have had, with real processes: cold starts, stalls, a broken contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account

from lacnode.devnet.permissioned_genesis import NODE_INGRESS
from lacnode.permissioning.abi import RULES_NAME
from lacnode.rpc.json_rpc_client import call
from tests.support.contract_network import call_data
from tests.support.devnet import Devnet, ask, height, running_devnet, until

FAST = ("--block-period", "0.5")
CHAIN_ID = 648_555
RUNS_FOR_EVER = bytes.fromhex("5b600056")

pytestmark = pytest.mark.xdist_group("permissioned-devnet")


def kill_everybody(network: Devnet) -> None:
    network.command("kill", *(node.name for node in network.manifest.nodes))


def is_meshed(network: Devnet, roles: dict[str, int]) -> bool:
    """Whether every node has as many peers as its role gives it."""
    nodes = network.manifest.nodes
    return all(ask(node.rpc_url, "net_peerCount") == hex(roles[node.role]) for node in nodes)


def goes_on(network: Devnet, blocks: int = 2) -> None:
    """New blocks reach every node."""
    nodes = network.manifest.nodes
    reached = max(height(node.rpc_url) for node in nodes)
    for node in nodes:
        until(lambda url=node.rpc_url: height(url) >= reached + blocks, f"new blocks on {node.name}")  # type: ignore[misc]


def send(network: Devnet, to: bytes | None, data: bytes) -> dict[str, str]:
    """The receipt of a transaction of the administrator."""
    url = network.url("validator-1")
    admin = Account.from_key(network.manifest.accounts[0].private_key)
    nonce = int(ask(url, "eth_getTransactionCount", admin.address, "pending"), 16)
    fields = {"nonce": nonce, "gas": 2_000_000, "gasPrice": 0, "value": 0, "data": data, "chainId": CHAIN_ID}
    target = {} if to is None else {"to": to}
    hash_ = ask(
        url, "eth_sendRawTransaction", "0x" + bytes(admin.sign_transaction({**fields, **target}).raw_transaction).hex()
    )
    until(lambda: ask(url, "eth_getTransactionReceipt", hash_) is not None, "the transaction in a block")
    receipt: dict[str, str] = ask(url, "eth_getTransactionReceipt", hash_)
    assert receipt["status"] == "0x1"
    return receipt


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Four validators, a boot node that is none, and two writers; every case here leaves them running."""
    shape = ("--permissioned", "--boots", "1", "--writers", "2")
    with running_devnet(tmp_path_factory.mktemp("shared") / "net", *shape, *FAST) as made:
        yield made


MESH = {"validator": 4, "boot": 6, "writer": 2}


def test_besu_528_and_lacchain_34_a_network_whose_boot_node_is_no_validator_starts_cold(network: Devnet) -> None:
    """besu 528: everything starts at genesis. lacchain 34: everything was stopped at once and starts again."""
    until(lambda: is_meshed(network, MESH), "the full mesh from genesis on")
    goes_on(network)
    kill_everybody(network)
    network.up()
    until(lambda: is_meshed(network, MESH), "the full mesh again")
    goes_on(network)


def test_besu_4319_a_node_far_behind_joins_through_its_boot_node_alone(network: Devnet) -> None:
    """A writer that was away while the rules changed has stale rules: it catches up from its boot node, and only then
    looks for others."""
    until(lambda: is_meshed(network, MESH), "the full mesh")
    network.command("kill", "writer-2")
    boot, url = network.url("boot-1"), network.url("writer-2")
    reached = height(boot)
    until(lambda: height(boot) >= reached + 10, "blocks that the writer misses")
    network.command("start", "writer-2")
    until(lambda: height(url) >= reached + 10, "the writer caught up")
    until(lambda: ask(url, "lac_permissioningStatus")["isCurrent"] is True, "the writer current")
    until(lambda: ask(url, "net_peerCount") == "0x2", "the writer with its peers")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (RUNS_FOR_EVER, "gave no answer"),
        (None, ""),
    ],
    ids=["runs for ever", "no code"],
)
def test_a_broken_contract_stops_strangers_and_no_validator(code: bytes | None, told: str, tmp_path: Path) -> None:
    """The slowest kind, and no contract at all. How each kind is told apart needs no network: `test_node_contract.py`."""
    # Before Cancun: since then a contract keeps its code when it destroys itself (EIP-6780).
    shape = ("--permissioned", "--validators", "3", "--boots", "1", "--fork", "berlin")
    with running_devnet(tmp_path / "net", *shape, *FAST) as network:
        until(lambda: is_meshed(network, {"validator": 3, "boot": 3}), "the full mesh")
        rules = bytes.fromhex(_created(network, _breaking(code))[2:])
        send(network, NODE_INGRESS, call_data("setContractAddress(bytes32,address)", RULES_NAME, rules))
        send(network, rules, b"")
        until(lambda: ask(network.url("boot-1"), "net_peerCount") == "0x0", "the boot node, no validator, out")
        first = network.url("validator-1")
        until(lambda: ask(first, "net_peerCount") == "0x2", "the validators still connected")
        reached = height(first)
        until(lambda: height(first) >= reached + 2, "blocks all the same")
        status = call(first, "lac_permissioningStatus", [], timeout=30)
        assert isinstance(status, dict)
        (trouble,) = status["troubles"]
        assert "does not match the expected interface version 1" in trouble
        assert told in trouble
        validators = [f"validator-{number}" for number in range(1, 4)]
        network.command("kill", *validators)
        network.command("start", *validators)
        until(lambda: ask(first, "net_peerCount") == "0x2", "the validators connected after a cold start", 120)
        until(lambda: height(first) >= reached + 4, "blocks after the cold start")


def _breaking(code: bytes | None) -> bytes:
    """Rules that permit everything, so that an ingress takes them, until somebody calls them without data: from then on
    they do what `code` does, or are gone where that is None."""
    behaviour = code or b""
    sets, answers = 13 + len(behaviour), 13 + len(behaviour) + 7
    breaks = bytes.fromhex("5b33ff" if code is None else "5b600160005500").ljust(7, b"\0")
    starts = bytes([0x5B, 0x36, 0x15, 0x60, sets, 0x57, 0x60, 0x00, 0x54, 0x15, 0x60, answers, 0x57])
    return starts + behaviour + breaks + bytes.fromhex("5b60001960005260206000f3")


def _created(network: Devnet, code: bytes) -> str:
    """The address of a contract with `code`."""
    size = len(code)
    creation = bytes([0x60, size, 0x80, 0x60, 0x0B, 0x60, 0x00, 0x39, 0x60, 0x00, 0xF3]) + code
    return str(send(network, None, creation)["contractAddress"])
