"""A file that goes between the check of the command line and the start ends the start with one message."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.ethstats.ethstats_settings import EthstatsSettings
from lacnode.evm import engine_factory
from lacnode.evm.engine_kind import EngineKind
from lacnode.evm.native_library import NativeLibraryError
from lacnode.metrics.metrics_settings import OtlpSettings
from lacnode.node.configuration import NodeConfig
from lacnode.node.run_node import NodeStartError, open_node

GONE = Path("/nowhere/authority.pem")


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps(devnet_genesis([NodeKey.generate().address], (), 1.0, 1)))
    return NodeConfig(data_path=tmp_path / "node", genesis_file=genesis, evm=EngineKind.PYTHON)


@pytest.mark.parametrize(
    "change",
    [
        {"ethstats": EthstatsSettings("node", "secret", "127.0.0.1", scheme="wss", ca_file=GONE)},
        {"metrics_otlp": OtlpSettings(is_tls=True, ca_file=GONE)},
        {"genesis_file": GONE},
        {"key_file": Path("/proc/node.key")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_file_that_is_gone_is_named(config: NodeConfig, change: dict[str, object]) -> None:
    changed = replace(config, **change)  # type: ignore[arg-type]
    with pytest.raises(NodeStartError, match=r"/nowhere/authority\.pem|/proc/node\.key"):
        open_node(changed)


def test_a_native_library_that_is_gone_is_named(config: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: object, **kwargs: object) -> None:
        raise NativeLibraryError("the native library is not there")

    monkeypatch.setattr(engine_factory, "NativeEngine", gone)
    with pytest.raises(NodeStartError, match="the native library is not there"):
        open_node(replace(config, evm=EngineKind.NATIVE))
