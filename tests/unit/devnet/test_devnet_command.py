"""Options of `lacnode devnet` count before and after the verb, and reach the nodes."""

from pathlib import Path

import pytest

from lacnode.cli.node_config import make_node_config
from lacnode.cli.sources import collect_settings
from lacnode.devnet.allowed_pages import HOSTS, ORIGINS
from lacnode.devnet.devnet_command import main
from lacnode.devnet.devnet_ports import node_ports
from lacnode.devnet.in_process import memory_node_config
from lacnode.devnet.manifest import NetworkShape, make_devnet


@pytest.mark.parametrize(
    "words", [["--data-path", "there", "stop"], ["stop", "--data-path", "there"]], ids=["before", "after"]
)
def test_the_data_path_is_the_one_that_was_given(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    assert "no devnet under there" in capsys.readouterr().err


def test_without_one_it_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["stop"]) == 1
    assert "no devnet under devnet-data" in capsys.readouterr().err


@pytest.mark.parametrize("origins", [ORIGINS, (r"https://app\.example",)])
def test_both_ports_of_a_node_serve_the_same_pages(origins: tuple[str, ...], tmp_path: Path) -> None:
    manifest = make_devnet(tmp_path / "devnet", NetworkShape(1, cors_origins=origins), 1.0, 0)
    config = make_node_config(collect_settings({"config-file": str(manifest.nodes[0].config_file)}, {}))
    ports = [config.http, config.websocket]
    assert [(port.cors_origins, port.allowed_hosts) for port in ports if port is not None] == [(origins, HOSTS)] * 2


def test_so_do_those_of_a_network_in_one_process() -> None:
    config = memory_node_config(node_ports(0, 0), ())
    ports = [config.http, config.websocket]
    assert [(port.cors_origins, port.allowed_hosts) for port in ports if port is not None] == [(ORIGINS, HOSTS)] * 2
