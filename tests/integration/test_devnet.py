"""Networks of real processes: what an operator sees when nodes die, are cut off, come back, or join."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lacnode.devnet import processes
from lacnode.devnet.devnet_ports import FIRST_RPC_PORT
from lacnode.devnet.manifest import NetworkShape, make_devnet
from tests.support.devnet import COMMAND_SECONDS, Devnet, ask, height, running_devnet, until

FAST = ("--block-period", "0.5")

pytestmark = pytest.mark.xdist_group("devnet")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_devnet(tmp_path_factory.mktemp("shared") / "net", *FAST) as network:
        yield network


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """A running network of one node, for cases that leave it as it was."""
    with running_devnet(tmp_path_factory.mktemp("single") / "net", "--validators", "1", *FAST) as network:
        yield network


@pytest.fixture
def network(shared: Devnet) -> Devnet:
    """Four connected validators, whatever the test before has left behind."""
    nodes = shared.manifest.nodes
    processes.heal(shared.manifest, [])
    for node in nodes:
        if processes.is_paused(node):
            processes.resume(node)
    if any(processes.find_pid(node) is None for node in nodes):
        shared.command("start")
    until(lambda: all(ask(node.rpc_url, "net_peerCount") == "0x3" for node in nodes), "everybody connected")
    until(lambda: all(height(node.rpc_url) >= 1 for node in nodes), "everybody with a block")
    return shared


def test_one_validator_may_die_and_two_may_not(network: Devnet) -> None:
    first, third, fourth = (network.url(f"validator-{n}") for n in (1, 3, 4))
    network.command("kill", "validator-2")
    reached = height(first)
    until(lambda: height(first) >= reached + 3, "blocks with three of four validators")
    network.command("kill", "validator-3")
    stopped, stopped_at_fourth = _heights_without_quorum(first, fourth)
    assert stopped == stopped_at_fourth
    assert height(first) == stopped == height(fourth), "two of four validators must not make blocks"
    network.command("start", "validator-3")
    until(lambda: height(first) >= stopped + 2, "blocks after one came back, the others untouched")
    until(lambda: height(third) >= stopped + 2, "the one that came back has them too")


def _heights_without_quorum(*urls: str) -> list[int]:
    """The heads on which two rounds run out at each node, whatever it was about to finish before."""
    first_rounds: list[dict[int, int]] = [{} for _ in urls]

    def two_have_run_out(url: str, rounds: dict[int, int]) -> bool:
        status = ask(url, "lac_consensusStatus")
        return bool(status["round"] >= rounds.setdefault(status["height"], status["round"]) + 2)

    def two_have_run_out_at_each() -> bool:
        # All are asked each time. A round lasts twice as long as the one before, so one after the other takes longer.
        have_run_out = [two_have_run_out(url, rounds) for url, rounds in zip(urls, first_rounds, strict=True)]
        return all(have_run_out)

    until(two_have_run_out_at_each, "rounds running out without a quorum")
    return [max(rounds) - 1 for rounds in first_rounds]


def test_a_killed_network_goes_on_where_it_was(network: Devnet) -> None:
    url = network.url("validator-1")
    until(lambda: height(url) >= 3, "a few blocks")
    before = ask(url, "eth_getBlockByNumber", "0x2", False)
    network.command("kill", *(f"validator-{number}" for number in range(1, 5)))
    again = network.up()
    reached = height(url)
    until(lambda: height(url) >= reached + 2, "blocks after all were killed at once")
    assert ask(url, "eth_getBlockByNumber", "0x2", False)["hash"] == before["hash"]
    assert [node["name"] for node in again["nodes"]] == [f"validator-{n}" for n in range(1, 5)]


def test_a_partition_stops_the_smaller_side_and_heals(network: Devnet) -> None:
    inside, outside = network.url("validator-1"), network.url("validator-2")
    network.command("partition", "validator-1")
    until(lambda: ask(inside, "net_peerCount") == "0x0", "validator-1 alone")
    cut_at = height(inside)
    until(lambda: height(outside) >= cut_at + 2, "what had arrived before is imported")
    stuck_at = height(inside)
    until(lambda: height(outside) >= stuck_at + 4, "the other three going on")
    assert height(inside) == stuck_at
    network.command("heal")
    until(lambda: height(inside) >= height(outside) - 1 > stuck_at, "validator-1 caught up")
    until(lambda: ask(inside, "net_peerCount") == "0x3", "everybody connected again")


def test_a_paused_node_catches_up(network: Devnet) -> None:
    url, other = network.url("validator-1"), network.url("validator-2")
    network.command("pause", "validator-1")
    assert network.node("validator-1")["state"] == "paused"
    reached = height(other)
    until(lambda: height(other) >= reached + 3, "the others going on")
    network.command("resume", "validator-1")
    until(lambda: height(url) >= reached + 3, "the paused one caught up")


RESET = {"jsonrpc": "2.0", "id": 1, "method": "hardhat_reset", "params": []}


def test_a_reset_takes_all_nodes_to_the_genesis(tmp_path: Path) -> None:
    with running_devnet(tmp_path / "net", *FAST) as network:
        _reset(network)


def _reset(network: Devnet) -> None:
    urls = [node.rpc_url for node in network.manifest.nodes]

    def first_blocks() -> set[str | None]:
        blocks = [ask(url, "eth_getBlockByNumber", "0x1", False) for url in urls]
        return {None if block is None else block["hash"] for block in blocks}

    (before,) = first_blocks()
    network.command("kill", "validator-4")
    endpoint = network.manifest.developer_url
    assert httpx.post(endpoint, json=RESET, timeout=COMMAND_SECONDS).json()["result"] is True
    # A node that is down follows when it starts.
    network.command("start", "validator-4")
    until(
        lambda: not {None, before} & first_blocks() and len(first_blocks()) == 1, "all nodes have another first block"
    )


def test_a_fifth_node_syncs_is_voted_in_and_voted_out(tmp_path: Path) -> None:
    with running_devnet(tmp_path / "net", *FAST) as network:
        first = network.url("validator-1")
        until(lambda: height(first) >= 3, "something to synchronise")
        network.command("join", "validator-5")
        fifth, address = network.url("validator-5"), network.made("validator-5").address
        until(lambda: height(fifth) >= 3, "the new node has the chain")
        network.command("vote", "validator-5")

        def validators() -> list[str]:
            return ask(first, "ibft_getValidatorsByBlockNumber", "latest") or []

        until(lambda: address in validators(), "the fifth validator in the set")
        until(lambda: any(block["miner"] == address for block in _last_blocks(first)), "a block by the fifth validator")
        network.command("vote", "validator-5", "--drop")
        until(lambda: address not in validators(), "four validators again")


def _last_blocks(url: str) -> list[dict[str, str]]:
    head = height(url)
    return [ask(url, "eth_getBlockByNumber", hex(number), False) for number in range(max(1, head - 5), head)]


def test_besu_8307_two_of_four_data_directories_wiped(tmp_path: Path) -> None:
    with running_devnet(tmp_path / "net", *FAST) as network:
        _wipe_and_come_back(network, ("validator-3", "validator-4"))


def test_besu_10024_three_of_four_data_directories_wiped(tmp_path: Path) -> None:
    with running_devnet(tmp_path / "net", *FAST) as network:
        _wipe_and_come_back(network, ("validator-2", "validator-3", "validator-4"))


def _wipe_and_come_back(network: Devnet, wiped: tuple[str, ...]) -> None:
    """One source of the chain, its head on no batch border; the wiped nodes have only key and genesis left."""
    url = network.url("validator-1")
    until(lambda: height(url) >= 7, "a chain to lose")
    kept = ask(url, "eth_getBlockByNumber", "0x7", False)["hash"]
    names = [f"validator-{number}" for number in range(1, 5)]
    network.command("kill", *names)
    for name in wiped:
        directory = network.path / "nodes" / name
        shutil.rmtree(directory / "database")
        for file in directory.glob("consensus.log*"):
            file.unlink()
    network.up()
    reached = height(url)
    for name in names:
        until(lambda name=name: height(network.url(name)) >= reached + 2, f"new blocks on {name}")  # type: ignore[misc]
        assert ask(network.url(name), "eth_getBlockByNumber", "0x7", False)["hash"] == kept


def test_a_second_node_on_the_same_data_directory_is_refused(single: Devnet) -> None:
    config = single.path / "nodes" / "validator-1" / "config.toml"
    ports = ["--p2p-port=0", "--rpc-http-port=0", "--rpc-ws-port=0"]
    second = subprocess.run(
        [sys.executable, "-m", "lacnode", *ports, "--config-file", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode == 1
    assert "in use" in second.stderr


def test_a_port_in_use_is_said_even_where_its_owner_answers(single: Devnet, tmp_path: Path) -> None:
    """Another network's node on the port has blocks too, and must not pass for ours."""
    # The first node has the port below the first one, which is for developers.
    offset = str(int(single.url("validator-1").rpartition(":")[2]) + 1 - FIRST_RPC_PORT)
    clash = Devnet(tmp_path / "two").command("--validators", "1", "--detach", "--port-offset", offset, check=False)
    assert clash.returncode == 1
    assert "validator-1 stopped while starting" in clash.stderr
    assert "in use" in clash.stderr


def test_another_networks_data_directory_is_refused(tmp_path: Path) -> None:
    first = tmp_path / "one"
    with running_devnet(first, "--validators", "1", *FAST):
        pass
    genesis = make_devnet(tmp_path / "two", NetworkShape(1), 0.5, 0).genesis_file
    config = first / "nodes" / "validator-1" / "config.toml"
    started = subprocess.run(
        [sys.executable, "-m", "lacnode", "--genesis-file", str(genesis), "--config-file", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert started.returncode == 1
    assert "another network" in started.stderr


def test_commands_say_what_is_wrong(single: Devnet, tmp_path: Path) -> None:
    missing = Devnet(tmp_path / "none").command("status", check=False)
    assert missing.returncode == 1
    assert "no devnet under" in missing.stderr
    unknown = single.command("kill", "validator-9", check=False)
    assert "no node 'validator-9'" in unknown.stderr
    other_size = single.command("--validators", "4", "--detach", check=False)
    assert "holds a network of 1 validators" in other_size.stderr
