"""JSON-RPC on a socket of the file system: calls, the mode of the file, and clients that do not what they should."""

import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from lacnode.http.connection_server import PortUnavailableError
from lacnode.rpc import ipc_server
from lacnode.rpc.json_stream import MAX_DEPTH, JsonStream, JsonStreamError
from lacnode.rpc.settings import IpcSettings
from tests.support.rpc_node import RpcNode, request, rpc_node

PATIENCE_SECONDS = 60.0


@asynccontextmanager
async def ipc_node(path: Path, **changes: Any) -> AsyncIterator[RpcNode]:
    with trio.fail_after(PATIENCE_SECONDS):
        async with rpc_node(None, None, ipc=IpcSettings(path, **changes)) as node:
            yield node


async def connected(path: Path) -> trio.SocketStream:
    return await trio.open_unix_socket(path)


async def line(stream: trio.SocketStream) -> Any:
    """The next answer."""
    text = b""
    while not text.endswith(b"\n"):
        part = await stream.receive_some(65_536)
        assert part, text
        text += part
    return json.loads(text)


async def test_a_program_of_this_machine_calls(tmp_path: Path) -> None:
    path = tmp_path / "node.ipc"
    async with ipc_node(path):
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        async with await connected(path) as stream:
            await stream.send_all(json.dumps(request("eth_blockNumber", id_=7)).encode())
            assert await line(stream) == {"jsonrpc": "2.0", "id": 7, "result": "0x0"}
            batch = [request("eth_blockNumber", id_=1), request("eth_chainId", id_=2)]
            await stream.send_all(json.dumps(batch).encode() + b"\n")
            assert [reply["id"] for reply in await line(stream)] == [1, 2]
    assert not path.exists()


async def test_texts_may_come_in_pieces_and_together(tmp_path: Path) -> None:
    path = tmp_path / "node.ipc"
    async with ipc_node(path), await connected(path) as stream:
        text = json.dumps(request("web3_sha3", '0x7b"]}\\'[:4])).encode()
        for byte in text:
            await stream.send_all(bytes([byte]))
        assert (await line(stream))["result"].startswith("0x")
        await stream.send_all(b" ".join(json.dumps(request("eth_chainId", id_=number)).encode() for number in range(3)))
        found = b""
        while found.count(b"\n") < 3:
            found += await stream.receive_some(65_536)
        assert [json.loads(text)["id"] for text in found.splitlines()] == [0, 1, 2]


async def test_only_the_chosen_groups_are_there(tmp_path: Path) -> None:
    path = tmp_path / "node.ipc"
    async with ipc_node(path, groups=("NET",)), await connected(path) as stream:
        await stream.send_all(json.dumps(request("eth_chainId")).encode())
        assert (await line(stream))["error"]["code"] == -32604


@pytest.mark.parametrize("text", [b"no json", b'"text"', b"[" * (MAX_DEPTH + 1), b"}"])
async def test_what_is_no_json_is_answered_and_ends_the_connection(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "node.ipc"
    async with ipc_node(path), await connected(path) as stream:
        await stream.send_all(text)
        assert (await line(stream))["error"]["code"] == -32700
        assert await stream.receive_some() == b""


async def test_a_text_that_is_too_long_ends_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc_server, "MAX_IPC_MESSAGE_BYTES", 1_000)
    path = tmp_path / "node.ipc"
    async with ipc_node(path), await connected(path) as stream:
        await stream.send_all(b'{"a":"' + b"x" * 2_000)
        assert (await line(stream))["error"]["code"] == -32700


async def test_a_text_that_never_ends_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc_server, "ARRIVAL_SECONDS", 0.1)
    path = tmp_path / "node.ipc"
    async with ipc_node(path), await connected(path) as stream:
        await stream.send_all(b"{")
        assert await stream.receive_some() == b""


# -- the file --------------------------------------------------------------------------------------------------------


async def test_a_socket_that_a_killed_node_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "node.ipc"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with ipc_node(path), await connected(path) as stream:
        await stream.send_all(json.dumps(request("eth_chainId")).encode())
        assert "result" in await line(stream)


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.ipc"
    path.write_text("mine")
    with pytest.raises(PortUnavailableError, match="is a file that is no socket"):
        ipc_server._bound(path)
    assert path.read_text() == "mine"


async def test_a_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.ipc"
    async with ipc_node(path):
        with pytest.raises(PortUnavailableError, match="in use by another process"):
            ipc_server._bound(path)
        async with await connected(path) as stream:
            await stream.send_all(json.dumps(request("eth_chainId")).encode())
            assert "result" in await line(stream)


@pytest.mark.parametrize(
    ("name", "text"), [("x" * 200, "longer than"), ("absent/node.ipc", "cannot be listened on: No such file")]
)
def test_a_path_that_cannot_be_is_named(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(PortUnavailableError, match=text):
        ipc_server._bound(tmp_path / name)


def test_no_other_user_can_connect_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)
    try:
        made = ipc_server._bound(tmp_path / "node.ipc")
    finally:
        os.umask(before)
    with made:
        assert stat.S_IMODE((tmp_path / "node.ipc").lstat().st_mode) == 0o600


# -- the ends of texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_texts_end_where_their_brackets_end(size: int) -> None:
    texts = [b'{"a":"}\\"]\\\\"}', b"[]", b'[{"b":[1,2]},"{"]', b"{}"]
    whole = b" \n".join(texts) + b"  "
    stream = JsonStream(100)
    found = [text for start in range(0, len(whole), size) for text in stream.feed(whole[start : start + size])]
    assert found == texts
    assert stream.is_empty


def test_a_flood_of_small_texts_costs_no_more_than_its_length() -> None:
    found = JsonStream(1_000_000).feed(b"{}" * 200_000)
    assert len(found) == 200_000


def test_brackets_without_end_are_refused() -> None:
    with pytest.raises(JsonStreamError):
        JsonStream(10_000_000).feed(b"[" * 5_000_000)
