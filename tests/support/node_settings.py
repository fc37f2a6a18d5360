"""Settings of a node as a command line gives them, for tests of the configuration."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lacnode.cli.errors import UsageError
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.node.configuration import NodeConfig

LACNET = Path(__file__).resolve().parents[3] / "shared" / "data" / "lacnet-configs"

KEY = NodeKey.from_private_key(bytes(31) + b"\x01")

ENODE = f"enode://{KEY.public_key.hex()}@10.0.0.1:30303"

ACCOUNT_INGRESS = bytes.fromhex("0000000000000000000000000000000000008888")

Configure = Callable[..., NodeConfig]


def genesis_document() -> dict[str, object]:
    return devnet_genesis([KEY.address], (), 1.0, 0)


def refused(configure: Configure, toml: str = "", **options: str) -> str:
    with pytest.raises(UsageError) as error:
        configure(toml, **options)
    assert error.value.status == 1
    return str(error.value)
