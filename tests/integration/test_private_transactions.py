"""Private transactions on a running network: real nodes with consensus and sockets, managers in memory."""

import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import open_websocket_url

from lacnode.devnet.devnet_ports import claim_port_offset
from lacnode.devnet.in_process import MemoryNetwork, build_memory_network
from lacnode.devnet.manager_files import make_manager_key, write_manager_config
from lacnode.node.assembly import build_node
from lacnode.node.configuration import NodeConfig, PrivacySettings
from lacnode.node.node import Node
from lacnode.node.opened_manager import OpenedManager
from lacnode.node.run_node import NodeStartError, open_node
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.keys import KEY_BYTES, from_base64
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from lacnode.privacy.transaction_manager import ReceivedPayload
from lacnode.rpc.privacy_parameters import in_base64
from tests.support.private_nodes import (
    ALICE,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    MemoryManager,
    deploying,
    manager_key,
    private,
    word,
)

GROUP = legacy_group_id(KEY_A, (KEY_B,))
KEEPER_ADDRESS = private_contract_address(ALICE.address, 0, GROUP)
KEYS = (KEY_A, KEY_B, KEY_C, manager_key("D"))
PATIENCE = 60.0
OPEN_FILES = Path("/proc/self/fd")


MakeManager = Callable[[bytes, dict[bytes, MemoryManager]], MemoryManager]


@dataclass
class PrivateNetwork:
    """Four validators, each with a manager of its own; the third and fourth are in nobody's group."""

    net: MemoryNetwork
    managers: dict[bytes, MemoryManager]
    client: httpx.AsyncClient

    def url(self, index: int, scheme: str = "http") -> str:
        rpc = self.net.nodes[index].rpc
        return f"{scheme}://127.0.0.1:{rpc.http_port if scheme == 'http' else rpc.ws_port}"

    async def ask(self, index: int, method: str, *params: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        reply = (await self.client.post(self.url(index), json=body)).json()
        assert "error" not in reply, reply
        return reply["result"]

    async def send(self, nonce: int, **fields: Any) -> str:
        """A private transaction of A's Alice, for A and B."""
        chain_id = self.net.nodes[0].spec.chain_id
        raw = private(ALICE, nonce, chain_id=chain_id, **fields).raw
        sent = await self.ask(0, "eea_sendRawTransaction", to_hex(raw))
        assert isinstance(sent, str)
        return sent

    async def mined(self, marker: str, index: int = 0) -> None:
        await until(lambda: self.ask(index, "eth_getTransactionReceipt", marker))

    async def executed(self, marker: str, index: int = 0) -> Any:
        """The private receipt at a node that has the marker, and is told."""
        return await until(lambda: self.ask(index, "priv_getTransactionReceipt", marker))


async def until(answer: Callable[[], Awaitable[Any]]) -> Any:
    """What `answer` says once it says something."""
    with trio.fail_after(PATIENCE):
        while True:
            found = await answer()
            if found:
                return found
            await trio.sleep(0.02)


@asynccontextmanager
async def private_network(manager: MakeManager = MemoryManager) -> AsyncIterator[PrivateNetwork]:
    managers: dict[bytes, MemoryManager] = {}
    for key in KEYS:
        managers[key] = manager(key, managers)
    with claim_port_offset(len(KEYS)) as port_offset:
        built = build_memory_network(len(KEYS), 0.3, port_offset)
        nodes = tuple(_private(node, managers[key]) for node, key in zip(built.nodes, KEYS, strict=True))
        net = MemoryNetwork(nodes, built.accounts)
        async with httpx.AsyncClient(timeout=20) as client, trio.open_nursery() as nursery:
            await nursery.start(net.run)
            yield PrivateNetwork(net, managers, client)
            nursery.cancel_scope.cancel()


def _private(node: Node, manager: MemoryManager) -> Node:
    """`node`, which has not run yet, with private transactions."""
    config = node.config
    assert config.http is not None
    assert config.websocket is not None
    groups = (*config.http.groups, "EEA", "PRIV")
    config = replace(
        config,
        http=replace(config.http, groups=groups),
        websocket=replace(config.websocket, groups=groups),
        privacy=PrivacySettings(manager.key),
    )
    return build_node(config, replace(node.resources, manager=OpenedManager(manager)))


def test_a_contract_between_two_members() -> None:
    async def story() -> None:
        async with private_network() as network:
            marker = await network.send(0, data=deploying(KEEPER))
            await network.mined(marker)
            receipt = await network.executed(marker)
            assert receipt["status"] == "0x1"
            assert receipt["contractAddress"] == to_hex(KEEPER_ADDRESS)
            stored = await network.send(1, to=KEEPER_ADDRESS, data=word(42))
            await network.mined(stored, 1)
            assert (await network.executed(stored, 1))["status"] == "0x1"
            call = {"to": to_hex(KEEPER_ADDRESS)}
            assert await network.ask(1, "priv_call", in_base64(GROUP), call, "latest") == to_hex(word(42))
            await network.mined(stored, 2)
            assert await network.ask(2, "priv_getTransactionReceipt", stored) is None
            assert await network.ask(2, "priv_call", in_base64(GROUP), call, "latest") == "0x"
            assert await network.ask(2, "eth_call", call, "latest") == "0x"

    trio.run(story)


def test_a_manager_that_is_off_while_the_chain_goes_on() -> None:
    async def story() -> None:
        async with private_network() as network:
            deployed = await network.send(0, data=deploying(KEEPER))
            await network.mined(deployed, 1)
            await network.executed(deployed, 1)  # before the manager goes
            off = network.managers[KEY_B]
            for nonce in range(1, 6):
                off.is_off = False
                marker = await network.send(nonce, to=KEEPER_ADDRESS, data=word(nonce))
                off.is_off = True
                await network.mined(marker, 1)

            async def stands_still() -> Any:
                (found,) = await network.ask(1, "lac_privacyGroups")
                return found["status"] == "waiting" and found

            assert (await until(stands_still))["waitingFor"] >= 1
            head = int(await network.ask(1, "eth_blockNumber"), 16)
            off.is_off = False

            async def is_current(index: int) -> Any:
                (found,) = await network.ask(index, "lac_privacyGroups")
                return found["status"] == "current" and int(found["blockNumber"], 16) >= head and found

            first, second = [(await until(partial(is_current, index)))["stateRoot"] for index in (0, 1)]
            assert first == second, "both members have the same private state"
            call = {"to": to_hex(KEEPER_ADDRESS)}
            assert await network.ask(1, "priv_call", in_base64(GROUP), call, "latest") == to_hex(word(5))

    trio.run(story)


def test_a_manager_that_breaks_and_then_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it does, the public chain of its node goes on, and the private state follows when it works again."""
    # An unexpected error costs its group the time until late payloads are looked for again: half a minute, then a minute.
    monkeypatch.setattr("lacnode.privacy.state.processor.FIRST_PAYLOAD_RETRY_SECONDS", 1)

    class Unwell(MemoryManager):
        hanging = threading.Event()
        well = threading.Event()
        breaks = 2

        def receive(self, key: bytes, to: bytes | None = None) -> ReceivedPayload:
            if self.breaks:
                self.breaks -= 1
                raise RuntimeError("a bug of the manager")
            self.hanging.set()
            assert self.well.wait(PATIENCE)
            return super().receive(key, to)

    async def story() -> None:
        async with private_network(
            lambda key, others: (Unwell if key == KEY_B else MemoryManager)(key, others)
        ) as network:
            unwell = network.managers[KEY_B]
            assert isinstance(unwell, Unwell)
            marker = await network.send(0, data=deploying(KEEPER))
            await network.mined(marker, 1)
            await until(lambda: trio.to_thread.run_sync(unwell.hanging.wait, 0.1))
            head = int(await network.ask(1, "eth_blockNumber"), 16)
            await network.net.nodes[1].wait_for_block(head + 3)
            assert await network.ask(1, "lac_privacyGroups") == []
            unwell.well.set()
            status = (await until(lambda: network.ask(1, "lac_privacyGroups")))[0]
            assert status["status"] == "current"
            assert status["stateRoot"] == (await network.ask(0, "lac_privacyGroups"))[0]["stateRoot"]

    trio.run(story)


def test_public_methods_do_not_wait_for_a_manager() -> None:
    """More senders than there are threads hang in the manager; the chain's methods answer all the same."""

    class Slow(MemoryManager):
        senders = threading.Semaphore(0)
        go_on = threading.Event()

        def send(self, payload: bytes, sender: bytes | None, recipients: Sequence[bytes]) -> bytes:
            self.senders.release()
            assert self.go_on.wait(PATIENCE)
            return super().send(payload, sender, recipients)

    async def story() -> None:
        async with private_network(
            lambda key, others: (Slow if key == KEY_A else MemoryManager)(key, others)
        ) as network:
            slow = network.managers[KEY_A]
            assert isinstance(slow, Slow)
            async with trio.open_nursery() as nursery:
                for nonce in range(8):
                    nursery.start_soon(network.send, nonce)
                for _ in range(4):
                    await until(lambda: trio.to_thread.run_sync(slow.senders.acquire, True, 0.1))
                with trio.fail_after(PATIENCE / 2):
                    assert await network.ask(0, "eth_blockNumber")
                slow.go_on.set()

    trio.run(story)


def test_private_logs_as_they_happen() -> None:
    async def story() -> None:
        async with private_network() as network, open_websocket_url(network.url(1, "ws")) as socket:

            async def call(method: str, *params: object) -> Any:
                await socket.send_message(json.dumps({"id": 1, "method": method, "params": list(params)}))
                while "id" not in (reply := json.loads(await socket.get_message())):
                    pass
                return reply.get("result", reply.get("error"))

            group = in_base64(GROUP)
            wish = await call("priv_subscribe", group, "newHeads", {})
            assert (wish["code"], wish["message"]) == (-32600, "Invalid Request")
            id_ = await call("priv_subscribe", group, "logs", {})
            polled = await call("priv_newFilter", group, {})
            other = await call("priv_subscribe", in_base64(bytes(32)), "logs", {})
            await network.mined(await network.send(0, data=deploying(KEEPER)), 1)
            marker = await network.send(1, to=KEEPER_ADDRESS, data=word(7))
            with trio.fail_after(PATIENCE):
                notice = json.loads(await socket.get_message())
            assert notice["method"] == "priv_subscription"
            assert list(notice["params"]) == ["subscription", "privacyGroupId", "result"]
            assert (notice["params"]["subscription"], notice["params"]["privacyGroupId"]) == (id_, group)
            assert notice["params"]["result"]["transactionHash"] == marker
            assert notice["params"]["result"]["data"] == to_hex(word(7))
            assert await call("priv_getFilterChanges", group, polled) == [notice["params"]["result"]]
            gone = await call("eth_unsubscribe", id_)
            assert (gone["code"], gone["message"]) == (-32000, "Subscription not found")
            assert await call("priv_unsubscribe", group, id_) is True
            assert await call("priv_unsubscribe", in_base64(bytes(32)), other) is True

    trio.run(story)


def test_a_node_without_a_manager_does_not_start(tmp_path: Path) -> None:
    genesis = Path(__file__).resolve().parents[2] / "genesis" / "free-gas" / "genesis.json"
    config = NodeConfig(data_path=tmp_path, genesis_file=genesis, privacy=PrivacySettings(KEY_A))
    with pytest.raises(NodeStartError, match="no transaction manager"):
        open_node(config)
    missing = replace(config, privacy=PrivacySettings(KEY_A, manager_config=tmp_path / "manager.toml"))
    with pytest.raises(NodeStartError, match=r"--privacy-manager-config-file=.* cannot be read"):
        open_node(missing)


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="open files are looked up in Linux's /proc")
def test_a_node_that_does_not_start_leaves_its_managers_store(tmp_path: Path) -> None:
    genesis = Path(__file__).resolve().parents[2] / "genesis" / "free-gas" / "genesis.json"
    key = from_base64(make_manager_key(tmp_path / "manager"), KEY_BYTES)
    write_manager_config(tmp_path / "manager", 0, [])
    settings = PrivacySettings(key, manager_config=tmp_path / "manager" / "manager.toml")
    config = NodeConfig(data_path=tmp_path / "node", genesis_file=genesis, privacy=settings)

    def held() -> list[str]:
        links = [file.readlink() for file in OPEN_FILES.iterdir() if file.is_symlink()]
        return [link.name for link in links if link.is_relative_to(tmp_path / "manager")]

    node = open_node(config)
    assert held()
    with pytest.raises(NodeStartError):
        open_node(config)
    node.close()
    assert not held()


@pytest.mark.parametrize("method", ["priv_subscribe", "priv_unsubscribe"])
def test_private_subscriptions_are_for_those_who_may_use_priv(method: str) -> None:
    async def story() -> None:
        with claim_port_offset(1) as port_offset:
            net = build_memory_network(1, 0.3, port_offset)
            async with trio.open_nursery() as nursery:
                await nursery.start(net.run)
                async with open_websocket_url(f"ws://127.0.0.1:{net.nodes[0].rpc.ws_port}") as socket:
                    await socket.send_message(json.dumps({"id": 1, "method": method, "params": []}))
                    reply = json.loads(await socket.get_message())
                    assert reply["error"]["code"] == -32604
                nursery.cancel_scope.cancel()

    trio.run(story)
