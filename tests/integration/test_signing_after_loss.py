"""Validators without their `consensus.log`, as their operators see them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.devnet import DEADLINE, Devnet, ask, height, running_devnet, until
from tests.support.single_node import single_node


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Four validators; every case here leaves them running."""
    with running_devnet(tmp_path_factory.mktemp("shared") / "net", "--block-period", "0.5") as made:
        yield made


@pytest.mark.xdist_group("signing-after-loss")
def test_a_validator_that_lost_its_log_follows_and_signs_again_by_itself(network: Devnet) -> None:
    victim, url = "validator-2", network.url("validator-2")
    directory = network.path / "nodes" / victim
    until(lambda: height(url) >= 3, "there is a chain")
    address = ask(url, "eth_coinbase")
    network.command("kill", victim)
    (directory / "consensus.log").unlink()
    network.command("start", victim)
    until(lambda: height(url) >= 0, "it answers again")
    begun = height(url)
    until(lambda: ask(url, "lac_consensusStatus")["phase"] != "not taking part", "it takes part again")
    log = (directory / "node.log").read_text("utf-8", "replace")
    assert "consensus.log was missing, but the database has a chain" in log
    assert "--reset-signing-state" in log
    until(lambda: any(miner(url, n) == address for n in range(begun + 2, height(url) + 1)), "it proposes again")


@pytest.mark.xdist_group("signing-after-loss")
def test_all_validators_restart_together_without_an_operator(network: Devnet) -> None:
    names = [f"validator-{number}" for number in range(1, 5)]
    until(lambda: all(height(network.url(name)) >= 3 for name in names), "there is a chain")
    network.command("kill", *names)
    network.command("start", *names)
    until(lambda: height(network.url(names[0])) >= 0, "it answers again")
    begun = height(network.url(names[0]))
    until(lambda: all(height(network.url(name)) >= begun + 4 for name in names), "blocks come again")


def miner(url: str, number: int) -> str:
    return str(ask(url, "eth_getBlockByNumber", hex(number), False)["miner"])


@contextmanager
def node_again(path: Path, *options: str) -> Iterator[str]:
    """The node of `single_node` once more, on its files; the URL of its API."""
    command = [
        f"--data-path={path}",
        f"--genesis-file={path / 'genesis.json'}",
        "--p2p-enabled=false",
        "--min-gas-price=0",
    ]
    command += ["--rpc-http-enabled", "--rpc-http-port=0", "--rpc-http-api=ETH,LAC", *options]
    with (path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "lacnode", *command], stdout=log, stderr=log, cwd=path)
    try:
        until(lambda: "json-rpc=" in read(path / "besu.ports") or process.poll() is not None, "the node is up")
        ports = dict(line.split("=") for line in read(path / "besu.ports").split())
        yield f"http://127.0.0.1:{ports['json-rpc']}"
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0, read(path / "log")


def read(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""


def test_a_single_validator_waits_for_its_operator(tmp_path: Path) -> None:
    with single_node(tmp_path) as ports:
        url = f"http://127.0.0.1:{ports['json-rpc']}"
        until(lambda: height(url) >= 2, "there is a chain")
    (tmp_path / "consensus.log").unlink()
    with node_again(tmp_path) as url:
        until(lambda: "--reset-signing-state" in read(tmp_path / "log"), "it says the way out")
        status = ask(url, "lac_consensusStatus")
        assert "consensus.log was missing" in status["missing"] or "decided without" in status["missing"]
        stood = height(url)
    with node_again(tmp_path, "--reset-signing-state") as url:
        until(lambda: height(url) >= stood + 2, "blocks come again")
        assert "the signing state was reset" in read(tmp_path / "log")
    with node_again(tmp_path) as url:
        went_on = height(url)
        until(lambda: height(url) >= went_on + 2, "and after the next start")
