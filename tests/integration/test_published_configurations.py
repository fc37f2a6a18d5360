"""Every configuration file that operators of public networks publish starts a node, with its paths and addresses on this
machine, and the node does what the file says.

The files are LACNet's two in `shared/data`, and those of public repositories, which are not ours to copy: the variable
`PUBLISHED_CONFIGURATIONS` names a folder with one folder a repository, named OWNER+NAME. `make published` fetches them.
"""

import base64
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from lacnode.chainspec.genesis import load_genesis
from lacnode.cli.main import main
from lacnode.cli.node_config import make_node_config
from lacnode.cli.sources import collect_settings
from lacnode.evm.budget import ExecutionCancelledError
from lacnode.node.configuration import NodeConfig
from lacnode.node.run_node import open_node

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
REPOSITORIES = Path(os.environ.get("PUBLISHED_CONFIGURATIONS", DATA / "published-configurations"))
PUBLISHED = (
    "LACNetNetworks+besu-networks",
    "lacchain+besu-network",
    "lacchain+besu-pro-testnet",
    "Consensys+quorum-dev-quickstart",
    "alastria+alastria-node-besu-directory",
)
START_SECONDS = 60.0

_OF_A_NODE = re.compile(r"^(rpc-http-enabled|p2p-port) *=", re.MULTILINE)
_TEMPLATE = re.compile(r"\{\{ *([\w.]+) *\}\}")
_NETWORKS = ("mainnet", "openprotestnet", "legacyprotestnet")


@dataclass(frozen=True)
class Published:
    """A configuration file, and the genesis file that it is published with."""

    file: Path
    genesis: Path

    @property
    def name(self) -> str:
        root = REPOSITORIES if self.file.is_relative_to(REPOSITORIES) else DATA
        return str(self.file.relative_to(root))


def published() -> Iterator[Published]:
    lacnet = DATA / "lacnet-configs"
    for file in sorted(lacnet.glob("*.toml")):
        yield Published(file, DATA / "lacnet-local" / "genesis.json")
    for repository in PUBLISHED:
        for file in sorted((REPOSITORIES / repository).rglob("*")):
            if file.suffix in (".toml", ".j2") and _OF_A_NODE.search(file.read_text("utf-8", "replace")):
                yield Published(file, _genesis_of(file))


def _genesis_of(file: Path) -> Path:
    network = next((name for name in _NETWORKS if name in file.name), "")
    names = [f"genesis-{network}.json"] if network else ["genesis.json", "IBFTgenesis.json"]
    places = [folder / name for folder in (file.parent, file.parent.parent / "files") for name in names]
    return next(place for place in places if place.exists())


FILES = list(published())
EXPECTED = {"lacnet-configs": 2, "LACNetNetworks+besu-networks": 17, "lacchain+besu-network": 4}
"""How many files there are at least, where the repository is there: a search that finds none would show nothing."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "manager.pub").write_text(base64.b64encode(bytes(range(32))).decode())
    return tmp_path


def with_paths_here(case: Published, directory: Path) -> tuple[list[str], Path]:
    """The options that put the file's paths on this machine, and the file with its template filled in."""
    text = _TEMPLATE.sub(lambda found: "127.0.0.1" if "ip" in found[1] else "node-1", case.file.read_text("utf-8"))
    file = directory / "config.toml"
    file.write_text(text)
    keys = tomllib.loads(text)
    options = [f"--data-path={directory / 'data'}", f"--genesis-file={case.genesis}"]
    if "node-private-key-file" in keys:
        options.append(f"--node-private-key-file={directory / 'key'}")
    if "privacy-public-key-file" in keys:
        options.append(f"--privacy-public-key-file={directory / 'manager.pub'}")
    for name in ("permissions-nodes-config-file", "static-nodes-file"):
        if name in keys:
            options.append(f"--{name}={_beside(case.file, Path(keys[name]).name, directory)}")
    return options, file


def _beside(file: Path, name: str, directory: Path) -> Path:
    """A file that is published with the configuration, or else made by its operator's scripts."""
    published_file = file.parent / name
    if published_file.exists():
        return published_file
    made = directory / name
    made.write_text("[]" if name.endswith(".json") else "nodes-allowlist=[]\n")
    return made


NO_ADDRESSES = ("--bootnodes=", "--p2p-host=127.0.0.1", "--p2p-interface=127.0.0.1", "--metrics-push-host=127.0.0.1")
NO_PORTS = tuple(f"--{name}=0" for name in ("p2p-port", "rpc-http-port", "rpc-ws-port", "graphql-http-port"))


def started_config(case: Published, directory: Path) -> NodeConfig:
    options, file = with_paths_here(case, directory)
    keys = tomllib.loads(file.read_text())
    places = ["--metrics-port=0"] if keys.get("metrics-enabled") else []
    places += [
        f"--{name}=127.0.0.1" for name in keys if re.fullmatch(r"(rpc-http|rpc-ws|graphql-http|metrics)-host", name)
    ]
    line = [*options, *NO_ADDRESSES, *NO_PORTS, *places, f"--config-file={file}"]
    return make_node_config(collect_settings(dict(word[2:].split("=", 1) for word in line), {}))


@pytest.mark.skipif(not FILES, reason="no published configuration files are here")
def test_the_search_finds_the_files() -> None:
    names = [case.name for case in FILES]
    for folder, count in EXPECTED.items():
        found = [name for name in names if name.startswith(folder)]
        assert not found or len(found) >= count, folder


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.name)
def test_validate_config_finds_nothing_that_would_stop_a_node(
    case: Published, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, file = with_paths_here(case, directory)
    status = main([*options, "validate-config", f"--config-file={file}"])
    assert (status, capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.name)
def test_a_node_starts_and_does_what_the_file_says(case: Published, directory: Path) -> None:
    config = started_config(case, directory)
    said = tomllib.loads((directory / "config.toml").read_text())
    assert (config.graphql is not None) == said.get("graphql-http-enabled", False)
    assert (config.metrics_push is not None) == said.get("metrics-push-enabled", False)
    assert (config.privacy is not None) == said.get("privacy-enabled", False)
    assert bool(config.permissioning.node_contract) == said.get("permissions-nodes-contract-enabled", False)
    assert bool(config.permissioning.account_contract) == said.get("permissions-accounts-contract-enabled", False)
    trio.run(start_and_ask, config, load_genesis(case.genesis).chain_id)


async def start_and_ask(config: NodeConfig, chain_id: int) -> None:
    """Start a node, ask it for its chain, and stop it."""
    node = open_node(config)
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(START_SECONDS):
                await nursery.start(node.run)
                async with httpx.AsyncClient(timeout=START_SECONDS) as client:
                    await _answers(client, node.rpc.http_port, node.graphql, chain_id)
            nursery.cancel_scope.cancel()
    # A call of a contract in a thread ends with this error when the node stops.
    except* ExecutionCancelledError:
        pass
    finally:
        node.close()


async def _answers(client: httpx.AsyncClient, port: int | None, graphql: Any, chain_id: int) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    assert (await client.post(f"http://127.0.0.1:{port}", json=body)).json()["result"] == hex(chain_id)
    if graphql is not None:
        reply = await client.post(f"http://127.0.0.1:{graphql.port}/graphql", json={"query": "{ chainID }"})
        assert reply.json() == {"data": {"chainID": hex(chain_id)}}
