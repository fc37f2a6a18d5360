"""The scripts by which published containers start a node: what they add to the file, and the options that they give.

The repositories are not ours to copy: see `test_published_configurations`.
"""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from lacnode.chainspec.genesis import load_genesis
from lacnode.cli.main import main
from lacnode.cli.node_config import make_node_config
from lacnode.cli.sources import collect_settings, parse_command_line
from tests.integration.test_published_configurations import NO_PORTS, REPOSITORIES, start_and_ask

ALASTRIA = REPOSITORIES / "alastria+alastria-node-besu" / "docker-compose" / "alastria-node" / "entrypoint.sh"
ALASTRIA_FILES = REPOSITORIES / "alastria+alastria-node-besu-directory" / "config"
QUICKSTART = REPOSITORIES / "Consensys+quorum-dev-quickstart"
QUICKSTART_FILES = QUICKSTART / "files" / "besu" / "config" / "besu"
RBB_COMPOSE = REPOSITORIES / "RBBNet+start-network" / "docker-compose.yml.hbs"
RBB_GENESIS = REPOSITORIES / "RBBNet+rbb" / "artefatos" / "observer" / "genesis.json"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "manager.pub").write_text(base64.b64encode(bytes(range(32))).decode())
    (tmp_path / "allowed-nodes.toml").write_text("nodes-allowlist=[]\n")
    (tmp_path / "static-nodes.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def alastria_additions() -> Iterator[tuple[str, str]]:
    """The kinds of node, and the lines that the script appends to the file for each."""
    if ALASTRIA.exists():
        script = ALASTRIA.read_text("utf-8").partition("global-config.toml")[2]
        for kind, lines in re.findall(r'"(\w+)"\)(.*?);;', script, re.DOTALL):
            yield kind, "\n".join(re.findall(r"echo '(.*)' >>", lines))


def quickstart_commands() -> Iterator[tuple[str, ...]]:
    """The options of each command of the compose file's template, with privacy."""
    template = QUICKSTART / "templates" / "besu" / "docker-compose.yml"
    if template.exists():
        text = re.sub(r"\{%.*?%\}", "", template.read_text("utf-8")).replace("$$(hostname -i)", "127.0.0.1")
        text = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", text)
        commands = re.findall(r"/opt/besu/bin/besu \\\n(.*?);", text, re.DOTALL)
        yield from dict.fromkeys(tuple(re.findall(r"--\S+", command)) for command in commands)


def here(option: str, directory: Path) -> str:
    """The option with its path or address on this machine."""
    name, _, value = option.partition("=")
    places = {
        "--privacy-url": "http://127.0.0.1:9101",
        "--privacy-public-key-file": str(directory / "manager.pub"),
        "--config-file": str(QUICKSTART_FILES / "config.toml"),
    }
    return f"{name}={places.get(name, value)}" if value else option


NODE_KINDS, COMMANDS = list(alastria_additions()), list(quickstart_commands())


@pytest.mark.skipif(not NODE_KINDS, reason="the published repository is not here")
@pytest.mark.parametrize(("kind", "lines"), NODE_KINDS)
def test_what_alastrias_script_appends_is_understood(
    kind: str, lines: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lines.count("=") >= 3
    file = directory / "config.toml"
    file.write_text((ALASTRIA_FILES / "global-config.toml").read_text("utf-8") + "\n" + lines + "\n")
    keys = ["public-key", "export", f"--to={directory / 'key.pub'}"]
    assert main([f"--data-path={directory}", *keys]) == 0
    options = [
        f"--data-path={directory}",
        f"--genesis-file={ALASTRIA_FILES / 'genesis.json'}",
        f"--node-private-key-file={directory / 'key'}",
        f"--permissions-nodes-config-file={directory / 'allowed-nodes.toml'}",
        f"--static-nodes-file={directory / 'static-nodes.json'}",
    ]
    status = main([*options, "validate-config", f"--config-file={file}"])
    assert (status, capsys.readouterr().err) == (0, "")


@pytest.mark.skipif(not COMMANDS, reason="the published repository is not here")
@pytest.mark.parametrize("consensus", ["QBFT", "IBFT"])
@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_the_commands_of_the_quickstart_are_understood(
    command: tuple[str, ...], consensus: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [here(option, directory).replace("QBFT", consensus) for option in command]
    *others, file = sorted(options, key=lambda option: option.startswith("--config-file"))
    line = [
        *others,
        f"--data-path={directory / 'data'}",
        f"--genesis-file={QUICKSTART_FILES / f'{consensus}genesis.json'}",
        f"--node-private-key-file={directory / 'nodekey'}",
        f"--permissions-nodes-config-file={QUICKSTART_FILES / 'permissions_config.toml'}",
        f"--static-nodes-file={QUICKSTART_FILES / 'static-nodes.json'}",
    ]
    status = main([*line, "validate-config", file])
    assert (status, capsys.readouterr().err) == (0, "")


@pytest.mark.skipif(
    not RBB_COMPOSE.exists() or not RBB_GENESIS.exists(), reason="the published repositories are not here"
)
@pytest.mark.parametrize("observer", [False, True], ids=["node", "observer"])
def test_the_compose_file_of_rbb_starts_a_node(observer: bool, directory: Path) -> None:
    compose = RBB_COMPOSE.read_text("utf-8")
    variables = dict(re.findall(r'^ +(\w+): "([^"{]*)"$', compose, re.MULTILINE))
    # The script of an observer deletes this line from the file.
    if observer:
        del variables["BESU_PERMISSIONS_NODES_CONTRACT_ENABLED"]
    words = re.findall(r"^ +(--\S+)$", compose, re.MULTILINE)
    assert len(variables) > 15
    assert words
    places = [
        f"--data-path={directory}",
        f"--genesis-file={RBB_GENESIS}",
        "--metrics-host=127.0.0.1",
        "--metrics-port=0",
    ]
    addresses = ["--bootnodes=", "--p2p-host=127.0.0.1", "--p2p-interface=127.0.0.1"]
    options, _ = parse_command_line([*words, *places, *addresses, *NO_PORTS])
    config = make_node_config(collect_settings(options, variables))
    assert config.host_names
    assert config.permissioning.account_contract is not None
    assert (config.permissioning.node_contract is None) == observer
    trio.run(start_and_ask, config, load_genesis(RBB_GENESIS).chain_id)
