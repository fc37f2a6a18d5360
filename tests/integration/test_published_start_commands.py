"""The commands by which LACNet's compose files and LACChain's scripts start a node, as they stand, with their
environment: what they say is understood, and so is each file that they name.

The repositories are not ours to copy: see `test_published_configurations`.
"""

import base64
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lacnode.cli.main import main
from tests.integration.test_published_configurations import REPOSITORIES

COMPOSE = REPOSITORIES / "LACNetNetworks+besu-networks" / "docker" / "compose"
SCRIPTS = ("LACNetNetworks+besu-networks", "lacchain+besu-network", "lacchain+besu-pro-testnet")
NETWORK_IDS = {"legacyprotestnet": "648529", "openprotestnet": "648540", "mainnet": "648541", "": "648529"}


@dataclass(frozen=True)
class Start:
    """The commands of one container or script, without the program's name, and their environment. `config` and `genesis`
    are the files that they name by places in the container."""

    name: str
    commands: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    config: Path
    genesis: Path


def of_compose_files() -> Iterator[Start]:
    for file in sorted(COMPOSE.glob("*/docker-compose*.yml")):
        for name, service in yaml.safe_load(file.read_text("utf-8"))["services"].items():
            commands = re.findall(r"^/opt/besu/bin/besu (.*)$", "".join(service.get("command", ())), re.MULTILINE)
            if commands:
                (config,) = (file.parent / "files").glob("config-*.toml")
                environment = tuple((key, str(value)) for key, value in service["environment"].items())
                genesis = file.parent / "files" / "genesis.json"
                yield Start(f"{file.parent.name}-{name}", tuple(commands), environment, config, genesis)


def of_scripts() -> Iterator[Start]:
    for repository in SCRIPTS:
        for script in sorted((REPOSITORIES / repository / "roles").glob("*/templates/startpantheon*.j2")):
            network = script.stem.removeprefix("startpantheon").lstrip("-")
            line = re.sub(r"\{\{ *net_id\w* *\}\}", NETWORK_IDS[network], script.read_text("utf-8").splitlines()[-1])
            variable, _, command = line.partition(" pantheon ")
            end = f"-{network}" if network else ""
            files = script.parents[1] / "files" / f"genesis{end}.json"
            genesis = files if files.exists() else script.parents[2] / "lacchain-bootnode" / "files" / files.name
            for config in sorted(script.parent.glob(f"pantheon-*config{end}.j2")):
                name, _, value = variable.partition("=")
                title = f"{repository}-{script.parents[1].name}-{config.stem}"
                yield Start(title, (command,), ((name, value),), config, genesis)


STARTS = [*of_compose_files(), *of_scripts()]


@pytest.mark.skipif(not STARTS, reason="the published repositories are not here")
def test_the_search_finds_the_commands() -> None:
    """A search that finds none would show nothing."""
    of_each = {kind: sum(start.name.startswith(kind) for start in STARTS) for kind in (*SCRIPTS, "tessera")}
    assert of_each == {SCRIPTS[0]: 12, SCRIPTS[1]: 4, SCRIPTS[2]: 4, "tessera": 3}


@pytest.mark.skipif(not STARTS, reason="the published repositories are not here")
@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.name)
def test_the_commands_of_a_container_or_a_script_are_understood(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in start.environment:
        monkeypatch.setenv(name, with_places_here(value, tmp_path))
    (tmp_path / "data").mkdir()
    (tmp_path / "genesis.json").write_bytes(start.genesis.read_bytes())
    (tmp_path / "config.toml").write_text(with_places_here(start.config.read_text("utf-8"), tmp_path))
    manager_key = base64.b64encode(bytes(range(32))).decode()
    for name in ("manager.pub", "data/nodeKey.pub"):
        (tmp_path / name).write_text(manager_key)
    # The key of the node is there before its script is called.
    assert main([f"--data-path={tmp_path / 'data'}", "public-key", "export", f"--to={tmp_path / 'key.pub'}"]) == 0
    *before, last = [shlex.split(with_places_here(command, tmp_path)) for command in start.commands]
    for words in before:
        assert main(words) == 0
    file = next(word for word in last if word.startswith("--config-file="))
    last.remove(file)
    status = main([*last, "validate-config", file])
    assert (status, capsys.readouterr().err) == (0, "")


def with_places_here(text: str, directory: Path) -> str:
    """The text with paths and addresses of this machine."""
    places = {
        r"\{\{ *[\w.]+ *\}\}|<[^>\n]*>|\$\$?\{\w+\}": "127.0.0.1",
        r"//writer-tessera-[\w-]+:": "//127.0.0.1:",
        r"/(?:etc/genesis|root/lacchain/data|data/besu|etc/besu)/genesis\.json": str(directory / "genesis.json"),
        r"/(?:etc/besu|root/lacchain)/config\.toml": str(directory / "config.toml"),
        r"[\w/]+/nodeKey\.pub": str(directory / "data" / "nodeKey.pub"),
        r"(?<![\w/])/(?:root/lacchain/data|data/besu)\b": str(directory / "data"),
    }
    for pattern, place in places.items():
        text = re.sub(pattern, place, text)
    return text
