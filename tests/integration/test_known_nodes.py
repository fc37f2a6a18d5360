"""Nodes find each other again by what they knew before, where nobody is left to tell them."""

from pathlib import Path

import pytest

from tests.support.devnet import ask, height, running_devnet, until

pytestmark = pytest.mark.xdist_group("permissioned-devnet")

VALIDATORS = [f"validator-{number}" for number in range(1, 5)]
SHAPE = ("--permissioned", "--validators", "4", "--boots", "1", "--writers", "0", "--observers", "0")


def test_validators_come_back_without_their_boot_node(tmp_path: Path) -> None:
    with running_devnet(tmp_path / "net", *SHAPE, "--block-period", "0.5") as network:
        urls = [network.url(name) for name in VALIDATORS]
        until(lambda: all(ask(url, "net_peerCount") == "0x4" for url in urls), "everybody knows everybody")
        met = height(urls[0])
        until(lambda: height(urls[0]) >= met + 8, "it is written down")
        network.command("kill", "boot-1", *VALIDATORS)
        stopped_at = met + 8
        for name in VALIDATORS:
            (network.path / "nodes" / name / "static-nodes.json").unlink()
        network.command("start", *VALIDATORS)
        until(lambda: all(height(network.url(name)) > stopped_at + 4 for name in VALIDATORS), "blocks come again")
        assert height(network.url("boot-1")) == -1, "the boot node is still away"
