"""`lacnode devnet --privacy` says that it is ready when the transaction managers know each other."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lacnode.devnet.managers import wait_for_managers
from lacnode.devnet.manifest import DevnetError, NetworkShape, make_devnet
from lacnode.privacy.keys import to_base64
from tests.support.managers import OwnManager

PATIENCE = 30.0


def test_it_is_ready_when_every_manager_knows_every_other(tmp_path: Path) -> None:
    """One that is not up, and one that has met nobody, are named."""
    validator, *writers = make_devnet(
        tmp_path / "net", NetworkShape(validators=1, writers=2, privacy=True), 1.0, 0
    ).nodes
    with closing(OwnManager(tmp_path / "first")) as first:
        writers[0] = replace(writers[0], privacy_key=to_base64(first.key), privacy_port=first.node_port)
        with pytest.raises(
            DevnetError, match=r"^the transaction manager of writer-1 has not met writer-2 after 0 s; its log"
        ):
            wait_for_managers((validator, *writers), 0.0)
        with closing(OwnManager(tmp_path / "second", [first.node_url])) as second:
            writers[1] = replace(writers[1], privacy_key=to_base64(second.key), privacy_port=second.node_port)
            wait_for_managers((validator, *writers), PATIENCE)
            assert first.knows(second.key)
            assert second.knows(first.key)
        with pytest.raises(DevnetError, match=r"^the transaction manager of writer-2 has not met writer-1, writer-2 "):
            wait_for_managers((validator, *writers), 0.0)


def test_a_network_without_managers_waits_for_none(tmp_path: Path) -> None:
    wait_for_managers(make_devnet(tmp_path / "net", NetworkShape(), 1.0, 0).nodes, 0.0)
