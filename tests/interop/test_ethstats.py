"""A node on the page of an ethstats server in Node.js.

npm has the packages that these servers use, and none of the servers. `tests/interop/ethstats` has a small server on the same
packages. `LACNODE_ETHSTATS_SERVER` names the folder of a real one, with its packages installed: see `docs/spec/interop.md`.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.interop.node_packages import install_packages
from tests.support.devnet import until
from tests.support.ethstats_server import SECRET, ethstats_server, shown_node
from tests.support.mixed_network import free_port
from tests.support.single_node import single_node

pytestmark = pytest.mark.interop

REAL = os.environ.get("LACNODE_ETHSTATS_SERVER", "")
needs_real_server = pytest.mark.skipif(not REAL, reason="LACNODE_ETHSTATS_SERVER names no ethstats server")


@pytest.fixture(params=["packages", pytest.param("real", marks=needs_real_server)])
def program(request: pytest.FixtureRequest) -> Path:
    directory = install_packages("ethstats")
    return directory / "app.cjs" if request.param == "packages" else Path(REAL).resolve() / "app.js"


def shown(port: int) -> dict[str, Any]:
    """The node on the page, once it is there with a block."""
    until(lambda: (shown_node(port) or {"stats": {}})["stats"].get("latency") is not None, "the page shows the node")
    found = shown_node(port)
    assert found is not None
    return found


def block_number(port: int) -> int:
    return int(str(shown(port)["stats"]["block"]["number"]), 0)


def test_a_node_is_on_the_page_of_the_server(program: Path, tmp_path: Path) -> None:
    port = free_port()
    url = f"--ethstats=ws://my-node:{SECRET}@127.0.0.1:{port}"
    with ethstats_server(program, port, tmp_path / "server.log"):
        with single_node(tmp_path, url, "--ethstats-contact=ops@example.org"):
            first = block_number(port)
            until(lambda: block_number(port) > first, "a later block is reported")
            found = shown(port)
            info, stats = found["info"], found["stats"]
            assert (info["name"], info["contact"], info["canUpdateHistory"]) == ("my-node", "ops@example.org", True)
            assert info["node"].startswith("lacnode/")
            assert (stats["active"], stats["mining"], stats["syncing"]) == (True, True, False)
            assert (stats["peers"], stats["pending"], stats["uptime"], stats["gasPrice"]) == (0, 0, 100, 0)
            assert int(stats["latency"]) >= 0
        until(lambda: shown(port)["stats"]["active"] is False, "the page shows that the node has stopped")


def test_earlier_blocks_come_when_the_server_asks_for_them(tmp_path: Path) -> None:
    program = install_packages("ethstats") / "app.cjs"
    port = free_port()
    with (
        ethstats_server(program, port, tmp_path / "server.log"),
        single_node(tmp_path, f"--ethstats=ws://my-node:{SECRET}@127.0.0.1:{port}"),
    ):
        until(lambda: len(shown(port)["history"]) == 3, "the three blocks that the server asks for")
        assert [int(block["number"], 16) for block in shown(port)["history"]] == [2, 1, 0]


def test_a_node_comes_back_to_a_server_that_was_away(program: Path, tmp_path: Path) -> None:
    port = free_port()
    with single_node(tmp_path, f"--ethstats=ws://my-node:{SECRET}@127.0.0.1:{port}"):
        log = tmp_path / "log"
        until(lambda: "cannot be used" in log.read_text(), "the node says that the server is away")
        for _ in range(2):
            with ethstats_server(program, port, tmp_path / "server.log"):
                assert shown(port)["info"]["name"] == "my-node"


def test_a_server_that_refuses_the_secret_is_told_of_once(program: Path, tmp_path: Path) -> None:
    port = free_port()
    with (
        ethstats_server(program, port, tmp_path / "server.log") as server,
        single_node(tmp_path, f"--ethstats=ws://my-node:wrong@127.0.0.1:{port}"),
    ):
        log = tmp_path / "log"
        until(lambda: "cannot be used" in log.read_text(), "the node says that it is refused")
        assert server.poll() is None
        assert shown_node(port) is None
        assert "wrong@" not in log.read_text()
