"""The fixtures of the tests of this folder."""

import json
from pathlib import Path

import pytest

from lacnode.cli.node_config import make_node_config
from lacnode.cli.sources import collect_settings
from lacnode.node.configuration import NodeConfig
from tests.support.node_settings import Configure, genesis_document


@pytest.fixture
def genesis(tmp_path: Path) -> Path:
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(genesis_document()))
    return path


@pytest.fixture
def configure(tmp_path: Path, genesis: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """The configuration of a command line (names with underscores) and a TOML text, in a directory with some files."""
    monkeypatch.chdir(tmp_path)
    for name in ("permissions_config.toml", "marker.key", "node.p12", "password", "known", "n.toml", "a.toml"):
        (tmp_path / name).touch()

    def make(toml: str = "", **options: str) -> NodeConfig:
        line = {name.replace("_", "-"): text for name, text in options.items()}
        if toml:
            (tmp_path / "config.toml").write_text(toml + "\n")
            line["config-file"] = str(tmp_path / "config.toml")
        return make_node_config(
            collect_settings({"genesis-file": str(genesis), "data-path": str(tmp_path), **line}, {})
        )

    return make
