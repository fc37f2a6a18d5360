"""The Helm chart of LACNet, with each of its files of values on each of its networks, starts a node.

The repository is not ours to copy: see `test_published_configurations`.
"""

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml

from lacnode.chainspec.genesis import load_genesis
from lacnode.cli.main import main
from tests.integration.test_published_configurations import (
    REPOSITORIES,
    Published,
    start_and_ask,
    started_config,
    with_paths_here,
)
from tests.support.helm_template import render

HELM = REPOSITORIES / "LACNetNetworks+besu-networks" / "helm"
CHART = HELM / "charts" / "besu-node"
VALUES = sorted((HELM / "values").glob("*.yml"))
NETWORKS = {"open-protest-net": 648540, "protest-net": 648529, "main-net": 648541}

pytestmark = [
    pytest.mark.skipif(not VALUES, reason="the published repository is not here"),
    pytest.mark.parametrize("network", NETWORKS),
    pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem),
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "manager.pub").write_text(base64.b64encode(bytes(range(32))).decode())
    return tmp_path


def merged(chart: Any, given: Any) -> Any:
    """The values of the chart, and over them those that an operator gives."""
    if not isinstance(chart, dict) or not isinstance(given, dict):
        return given
    return {**chart, **{name: merged(chart.get(name), value) for name, value in given.items()}}


def rendered(values: Path, network: str, directory: Path) -> Published:
    """The two files that the chart gives a node. What an operator must fill in is filled in."""
    # An operator writes an address or a name for each text in angle brackets.
    given = yaml.safe_load(re.sub(r"<[^>]*>", "node-1", values.read_text("utf-8")))
    chart = merged(yaml.safe_load((CHART / "values.yaml").read_text("utf-8")), given)
    chart["deploy"]["network"] = network
    files = directory / "chart"
    files.mkdir()
    for template in ("besu-config-configmap.yaml", "besu-genesis.yaml"):
        text = render((CHART / "templates" / template).read_text("utf-8"), chart)
        for document in yaml.safe_load_all(text):
            for name, content in document["data"].items():
                (files / name).write_text(content)
    return Published(files / "config.toml", files / "genesis.json")


def test_validate_config_finds_nothing_that_would_stop_a_node(
    values: Path, network: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, file = with_paths_here(rendered(values, network, directory), directory)
    options += ["--p2p-host=127.0.0.1", f"--privacy-marker-transaction-signing-key-file={directory / 'key'}"]
    assert main([f"--data-path={directory}", "public-key", "export-address", f"--to={directory / 'nodeAddress'}"]) == 0
    status = main([*options, "validate-config", f"--config-file={file}"])
    assert (status, capsys.readouterr().err) == (0, "")


def test_a_node_starts_on_the_network_of_the_values(values: Path, network: str, directory: Path) -> None:
    case = rendered(values, network, directory)
    config = started_config(case, directory)
    assert config.permissioning.node_contract is not None
    assert config.metrics_push is not None
    assert (config.privacy is not None) == (values.stem == "tessera")
    assert config.network_id == load_genesis(case.genesis).chain_id == NETWORKS[network]
    trio.run(start_and_ask, config, NETWORKS[network])
