"""lacnode's network against @ethereumjs/devp2p, an implementation that shares no code with it nor with Besu."""

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.eth_messages import EncodedNewBlock
from lacnode.primitives.hexadecimal import from_hex, to_hex
from tests.interop.node_packages import install_packages
from tests.support.p2p_nodes import DEADLINE, Node, transaction, world

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("ethereumjs")]

HERE = Path(__file__).parent / "node"


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """The other implementation is there."""
    install_packages()


class Script:
    """The running peer; what it says is read line by line."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._unread = b""
        self.heard: list[dict[str, Any]] = []

    async def hear(self, event: str) -> dict[str, Any]:
        """The next `event`; fails if the script says that something is wrong."""
        with trio.fail_after(DEADLINE):
            while True:
                line = json.loads(await self._line())
                self.heard.append(line)
                assert line["event"] != "error", self.heard
                if line["event"] == event:
                    return dict(line)

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            data = await self._process.stdout.receive_some()
            assert data, f"the script ended after {self.heard}"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line


@asynccontextmanager
async def script(mode: str, node: Node, versions: tuple[int, ...] = (66, 67, 68)) -> AsyncIterator[Script]:
    status = node.chain.status()
    task = {
        "mode": mode,
        "node": {"id": to_hex(node.id), "host": "127.0.0.1", "tcp": node.enode.tcp, "udp": node.enode.udp},
        "chainId": status.network_id,
        "genesisHash": to_hex(status.genesis_hash),
        "headHash": to_hex(status.head_hash),
        "headNumber": status.head_number,
        "forkHash": to_hex(status.fork_id.hash),
        "versions": versions,
    }
    command = ["node", "ethereumjs.mjs", json.dumps(task)]
    process = await trio.lowlevel.open_process(command, cwd=HERE, stdout=subprocess.PIPE)
    try:
        yield Script(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        assert process.stdout is not None
        await process.stdout.aclose()


@pytest.mark.parametrize("version", [65, 66, 67, 68])
async def test_it_dials_us_and_reads_our_chain(version: int) -> None:
    async with world() as w:
        node = await w.node()
        async with script("dial", node, (version,)) as peer:
            hello = await peer.hear("hello")
            assert (hello["clientId"], hello["port"]) == ("test", node.enode.tcp)
            status = await peer.hear("status")
            assert status == {
                "event": "status",
                "version": version,
                "chainId": node.chain.network_id,
                "difficulty": 5,
                "bestHash": to_hex(node.chain.hashes[-1]),
                "genesisHash": to_hex(node.chain.hashes[0]),
            }
            assert (await peer.hear("headers"))["numbers"] == [4, 3, 2]
            assert (await peer.hear("bodies"))["transactions"] == [1]


async def test_we_dial_it_and_read_a_header_back() -> None:
    async with world() as w:
        node = await w.node()
        async with script("listen", node) as script_:
            listening = await script_.hear("listening")
            node.network.add_static(Enode(from_hex(listening["id"]), "127.0.0.1", listening["port"], None))
            peer = (await node.recorder.wait("joined")).peer
            assert (peer.description.inbound, peer.description.eth_version, peer.head.number) == (False, 68, 4)
            await script_.hear("bodies")
            assert list(await peer.requests.request_headers(0, 1)) == [node.chain.blocks[4].header]


async def test_gossip_and_consensus_arrive_at_the_right_offsets() -> None:
    async with world() as w:
        node = await w.node()
        async with script("dial", node) as script_:
            peer = (await node.recorder.wait("joined")).peer
            await script_.hear("status")
            peer.send_consensus(3, b"\xc3\x01\x02\x03")
            assert await script_.hear("consensus") == {"event": "consensus", "code": 3, "data": "0xc3010203"}
            assert (await node.recorder.wait("consensus")).content == (3, b"\xc3\x01\x02\x03")
            peer.send_new_block(EncodedNewBlock.from_block(node.chain.blocks[3], 4), node.chain.hashes[3])
            assert (await script_.hear("block"))["number"] == 3
            peer.send_transactions([transaction(1), transaction(2)])
            assert (await script_.hear("transactions"))["count"] == 2
            peer.send_transaction_hashes([transaction(3)])
            assert (await script_.hear("transaction hashes"))["count"] == 1


async def test_it_finds_us_by_discovery_and_we_find_it() -> None:
    async with world() as w:
        node = await w.node(discovery=True)
        async with script("discover", node) as script_:
            listening = await script_.hear("listening")
            discovered = await script_.hear("discovered")
            assert (from_hex(discovered["id"]), discovered["port"]) == (node.id, node.enode.tcp)
            peer = (await node.recorder.wait("joined")).peer
            assert (peer.id, peer.enode.tcp) == (from_hex(listening["id"]), listening["port"])
            assert not peer.description.inbound
