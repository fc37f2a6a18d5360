"""Local lists of nodes in running networks: they close connections, and never open one that the contract closes."""

import json
from pathlib import Path

import pytest

from tests.support.devnet import Devnet, ask, running_devnet, until


def add_settings(node: dict[str, str], **settings: object) -> None:
    """Lines for the node's `config.toml`, for its next start."""
    with (Path(node["data_path"]) / "config.toml").open("a") as file:
        for name, value in settings.items():
            file.write(f"{name.replace('_', '-')}={json.dumps(value)}\n")


def write_list(node: dict[str, str], *enodes: str) -> None:
    (Path(node["data_path"]) / "permissions_config.toml").write_text(f"nodes-allowlist={json.dumps(enodes)}\n")


def peers(url: str) -> set[str]:
    return {str(peer["id"]).removeprefix("0x") for peer in ask(url, "admin_peers") or []}


def id_of(node: dict[str, str]) -> str:
    return node["enode"].removeprefix("enode://")[:128]


def restart(network: Devnet, name: str) -> None:
    network.command("kill", name)
    network.command("start", name)


def test_a_list_closes_a_connection_and_opens_it_again(tmp_path: Path) -> None:
    """Validators too: who is left out by name is out, whatever the chain says of it. One node is listed by its host name."""
    with running_devnet(tmp_path / "net", "--validators", "3", "--block-period", "0.5") as network:
        first, second, third = network.status()["nodes"]
        config = Path(third["data_path"]) / "config.toml"
        config.write_text(config.read_text().replace('"NET", "TRACE"', '"NET", "PERM", "TRACE"'))
        add_settings(third, permissions_nodes_config_file_enabled=True, Xdns_enabled=True, Xdns_update_enabled=True)
        write_list(third, first["enode"].replace("127.0.0.1", "localhost"), second["enode"])
        (Path(third["data_path"]) / "static-nodes.json").unlink()  # a fixed node cannot be taken off the list
        restart(network, "validator-3")
        url, both = third["rpc_url"], {id_of(first), id_of(second)}
        until(lambda: peers(url) == both, "both listed nodes connected")
        assert ask(url, "perm_removeNodesFromAllowlist", [second["enode"]]) == "Success"
        until(lambda: peers(url) == {id_of(first)}, "the second closed")
        until(lambda: rules_of_refusals(url) == {"local-nodes"}, "the refusal told")
        assert ask(url, "perm_addNodesToAllowlist", [second["enode"]]) == "Success"
        until(lambda: peers(url) == both, "the second back")


def rules_of_refusals(url: str) -> set[str]:
    return {entry["rule"] for entry in ask(url, "lac_refusedConnections") or []}


@pytest.mark.xdist_group("permissioned-devnet")
def test_a_doctored_list_brings_no_stranger_in(tmp_path: Path) -> None:
    shape = ("--permissioned", "--validators", "1", "--boots", "1", "--writers", "1")
    with running_devnet(tmp_path / "net", *shape) as network:
        network.command("join", "stranger")
        nodes = {node["name"]: node for node in network.status()["nodes"]}
        writer, stranger = nodes["writer-1"], nodes["stranger"]
        add_settings(writer, permissions_nodes_config_file_enabled=True)
        write_list(writer, *(node["enode"] for node in nodes.values()))
        static = Path(stranger["data_path"]) / "static-nodes.json"
        static.write_text(json.dumps([writer["enode"]]))
        for name in ("writer-1", "stranger"):
            restart(network, name)
        url = writer["rpc_url"]

        def refused() -> dict[str, str]:
            entries = ask(url, "lac_refusedConnections") or []
            return {entry["enode"].removeprefix("enode://")[:128]: entry["rule"] for entry in entries}

        until(lambda: refused().get(id_of(stranger)) == "node-contract", "the stranger refused by the contract")
        until(lambda: id_of(nodes["boot-1"]) in peers(url), "the writer at its boot node")
        assert id_of(stranger) not in peers(url)
        assert ask(stranger["rpc_url"], "net_peerCount") == "0x0"
