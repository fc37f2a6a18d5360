"""A node lets itself be stopped and taken back only in a devnet, and only by who can read its directory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.control_channel import CONTROL_FILE, ControlError, Document, send_command, serve_control
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.devnet.hosted_node import DevnetPacing, HostedNode
from lacnode.devnet.refused_methods import refused_methods
from lacnode.devnet.request_pause import RequestPause
from lacnode.node.configuration import NodeConfig
from lacnode.node.run_node import NodeStartError
from lacnode.privacy.state.privacy_marker import GroupMode
from lacnode.rpc.method_list import all_methods


def no_mark(document: dict[str, Any]) -> None:
    del document["config"]["lacnode"]


def mark_off(document: dict[str, Any]) -> None:
    document["config"]["lacnode"] = {"devnet": False}


@pytest.mark.parametrize("change", [no_mark, mark_off])
def test_another_networks_genesis_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    key = NodeKey.generate()
    document = devnet_genesis([key.address], (), 1.0, 1)
    change(document)
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps(document))
    data = tmp_path / "node"
    with pytest.raises(NodeStartError, match="not the genesis of a devnet"):
        HostedNode(NodeConfig(data_path=data, genesis_file=genesis), tmp_path).open()
    assert not data.exists()


def test_no_node_has_a_method_of_the_developer_endpoint() -> None:
    names = {method.name for mode in (None, *GroupMode) for method in all_methods(private=mode)}
    assert not {name for name in names if name.startswith(("evm_", "hardhat_", "anvil_"))}
    assert not names.intersection(refused_methods())


def test_the_clock_stands_still_at_a_fixed_time() -> None:
    pacing = DevnetPacing()
    pacing.offset_seconds = 10_000.0
    assert pacing.now() == pytest.approx(DevnetPacing().now() + 10_000, abs=60)
    pacing.fixed_time = 5.0
    assert pacing.now() == 5.0


async def test_a_command_needs_the_token(tmp_path: Path, nursery: trio.Nursery) -> None:
    heard: list[str] = []

    async def handle(command: str, values: Document) -> Document:
        heard.append(command)
        if command == "refuse":
            raise ControlError("not now")
        return {"got": values}

    async def serve(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await serve_control(tmp_path, handle, task_status=task_status)

    await nursery.start(serve)
    assert await send_command(tmp_path, "stop", {"a": 1}, 60) == {"got": {"a": 1}}
    with pytest.raises(ControlError, match="not now"):
        await send_command(tmp_path, "refuse", {}, 60)
    file = tmp_path / CONTROL_FILE
    assert file.stat().st_mode & 0o077 == 0
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "token": "wrong"}))
    with pytest.raises(ControlError, match="token"):
        await send_command(tmp_path, "stop", {}, 60)
    file.unlink()
    with pytest.raises(ControlError, match="does not answer"):
        await send_command(tmp_path, "stop", {}, 60)
    assert heard == ["stop", "refuse"]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("line", [b"[" * 60_000, b"null", b"{", bytes([0xFF])], ids=["deep", "null", "cut", "no text"])
async def test_a_line_that_is_no_command_harms_nothing(tmp_path: Path, nursery: trio.Nursery, line: bytes) -> None:
    """A local user without the token must not end the node."""

    async def handle(command: str, values: Document) -> Document:
        return values

    async def serve(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await serve_control(tmp_path, handle, task_status=task_status)

    await nursery.start(serve)
    port = json.loads((tmp_path / CONTROL_FILE).read_text())["port"]
    with trio.fail_after(60):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(line + b"\n")
            assert "error" in json.loads(await stream.receive_some())
    assert await send_command(tmp_path, "stop", {"a": 1}, 60) == {"a": 1}
    nursery.cancel_scope.cancel()


async def test_a_pause_waits_for_requests_under_way_and_holds_back_others(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    pause, order = RequestPause(), list[str]()

    async def request(name: str, seconds: float) -> None:
        async with pause.admit_request():
            await trio.sleep(seconds)
            order.append(name)

    nursery.start_soon(request, "before", 2.0)
    await trio.sleep(1)
    async with pause.hold_requests():
        order.append("paused")
        nursery.start_soon(request, "after", 0.0)
        await trio.sleep(5)
    await trio.sleep(1)
    assert order == ["before", "paused", "after"]
