"""The table of docs/operators/roles.md, cell by cell: on paper, and in running nodes."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from eth_account import Account

from lacnode.chainspec.genesis import parse_genesis
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.accounts import funded_accounts
from lacnode.devnet.devnet_genesis import CHAIN_ID, devnet_genesis
from lacnode.node.assembly import build_node
from lacnode.node.configuration import NodeConfig, P2pSettings
from lacnode.node.node import Node
from lacnode.node.node_resources import NodeResources
from lacnode.node.role import DUTIES, NodeRole, role_conflicts
from lacnode.p2p.p2p_network import P2pNetwork, P2pNetworkConfig
from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.topology import NodeType
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.settings import HttpSettings
from lacnode.storage.consensus_log import MemoryConsensusLog
from lacnode.storage.memory_database import MemoryDatabase
from lacnode.txpool.pool_settings import PoolSettings
from tests.support.ibft2_blocks import CAPABILITIES
from tests.support.p2p_nodes import Recorder

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators" / "roles.md"
COLUMNS = [None, NodeRole.VALIDATOR, NodeRole.BOOT, NodeRole.WRITER, NodeRole.OBSERVER]
PATIENCE = 30
BLOCK_PERIOD = 0.2
KEYS = [NodeKey.generate() for _ in range(3)]
ACCOUNT = funded_accounts()[0]


def page_rows() -> dict[str, list[bool]]:
    rows = re.findall(r"^\| (.+?) \|(( (?:yes|no) \|){5})$", PAGE.read_text("utf-8"), re.M)
    return {name: [cell.strip() == "yes" for cell in cells.strip("|").split("|")] for name, cells, _ in rows}


@pytest.mark.parametrize(
    ("row", "duty"),
    [
        ("takes part in consensus, if in the validator set", "runs_validator"),
        ("takes transactions by RPC", "accepts_transactions"),
        ("takes, pools and relays its peers' transactions", "relays_transactions"),
        ("dials nodes that discovery finds", "dials_discovered"),
    ],
)
def test_the_page_says_what_the_code_does(row: str, duty: str) -> None:
    assert page_rows()[row] == [getattr(DUTIES[role], duty) for role in COLUMNS]


@pytest.mark.parametrize(
    "row", ["dials bootnodes and static nodes", "relays blocks", "serves headers, bodies and receipts"]
)
def test_the_page_says_what_everybody_does(row: str) -> None:
    assert page_rows()[row] == [True] * len(COLUMNS)


@pytest.mark.parametrize(
    ("role", "is_validator", "listed", "told"),
    [
        (None, True, NodeType.BOOT, []),
        (NodeRole.VALIDATOR, True, NodeType.VALIDATOR, []),
        (NodeRole.VALIDATOR, True, None, []),
        (NodeRole.OBSERVER, False, NodeType.OTHER, []),
        (NodeRole.VALIDATOR, False, None, ["its key is not in the validator set"]),
        (NodeRole.BOOT, True, None, ["its key is in the validator set: it does not sign"]),
        (NodeRole.WRITER, False, NodeType.OBSERVER, ["the node contract lists it as observer"]),
        (NodeRole.WRITER, True, NodeType.VALIDATOR, ["does not sign", "the node contract lists it as validator"]),
    ],
)
def test_conflicts_are_told(
    role: NodeRole | None, is_validator: bool, listed: NodeType | None, told: list[str]
) -> None:
    conflicts = role_conflicts(role, is_validator, listed)
    assert len(conflicts) == len(told)
    assert all(text in conflict for text, conflict in zip(told, conflicts, strict=True))


def make(
    key: NodeKey, role: NodeRole | None, static: tuple[Enode, ...] = (), bootnodes: tuple[Enode, ...] | None = None
) -> Node:
    """A node of a network whose only validator is the first key. It discovers others if it is given bootnodes."""
    genesis = devnet_genesis([KEYS[0].address], funded_accounts(), BLOCK_PERIOD, 1)
    config = NodeConfig(
        data_path=Path("in-memory"),
        genesis_file=Path("in-memory"),
        role=role,
        p2p=P2pSettings(
            interface="127.0.0.1",
            port=0,
            discovery=bootnodes is not None,
            bootnodes=bootnodes or (),
            static_nodes=static,
        ),
        http=HttpSettings(port=0, groups=("ETH", "IBFT", "LAC", "NET", "TXPOOL"), allowed_hosts=("*",)),
        pool=PoolSettings(sender_share=1.0, min_gas_price=0, block_min_gas_price=0, price_bump=0),
    )
    return build_node(config, NodeResources(parse_genesis(genesis), key, MemoryDatabase(), MemoryConsensusLog()))


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[httpx.AsyncClient]:
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery, httpx.AsyncClient() as client:
            for node in nodes:
                await nursery.start(node.run)
            yield client
            nursery.cancel_scope.cancel()


async def connected(reached: Callable[[], bool]) -> None:
    """Look again and again; the nursery around it has the deadline."""
    while True:
        if reached():
            return
        await trio.sleep(0.02)


async def ask(client: httpx.AsyncClient, node: Node, method: str, *params: object) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return (await client.post(f"http://127.0.0.1:{node.rpc.http_port}", json=body)).json()


def raw_transfer(nonce: int) -> str:
    fields = {"nonce": nonce, "gas": 21_000, "gasPrice": 0, "value": 1, "to": b"\x42" * 20, "chainId": CHAIN_ID}
    return "0x" + bytes(Account.sign_transaction(fields, ACCOUNT.private_key).raw_transaction).hex()


@pytest.mark.parametrize("role", COLUMNS)
async def test_only_without_a_role_or_as_validator_does_a_validator_make_blocks(role: NodeRole | None) -> None:
    node = make(KEYS[0], role)
    async with running(node) as client:
        with trio.move_on_after(PATIENCE if DUTIES[role].runs_validator else 10 * BLOCK_PERIOD):
            await node.wait_for_block(1)
        assert (node.chain.head.header.number >= 1) is DUTIES[role].runs_validator
        for path, status in (("/liveness", 200), ("/readiness", 503)):
            answer = await client.get(f"http://127.0.0.1:{node.rpc.http_port}{path}")
            assert answer.status_code == status, "alone it is alive and not ready"
            assert ("conflicts" in answer.json()) is (role not in (None, NodeRole.VALIDATOR))
        view = (await ask(client, node, "lac_nodeRole"))["result"]
        assert view["configured"] == (None if role is None else role.value)
        assert view["isValidator"] is True


@pytest.mark.parametrize("role", COLUMNS)
async def test_who_takes_transactions_by_rpc(role: NodeRole | None) -> None:
    node = make(KEYS[1], role)
    async with running(node) as client:
        answer = await ask(client, node, "eth_sendRawTransaction", raw_transfer(0))
        assert ("result" in answer) is DUTIES[role].accepts_transactions
        if not DUTIES[role].accepts_transactions:
            assert answer["error"]["code"] == -32000
            assert "observer" in answer["error"]["message"]


@pytest.mark.parametrize("role", COLUMNS)
async def test_who_relays_and_what_everybody_serves(role: NodeRole | None) -> None:
    """Client -> first -> the node in question -> third: the third hears of the transaction only from a node that relays."""
    first = make(KEYS[2], NodeRole.WRITER)
    async with running(first) as client:
        middle = make(KEYS[1], role, static=(place_of(first),))
        async with trio.open_nursery() as nursery:
            await nursery.start(middle.run)
            third = make(NodeKey.generate(), None, static=(place_of(middle),))
            await nursery.start(third.run)
            await connected(lambda: len(middle.network.peers) == 2 and bool(third.network.peers))
            heard = trio.Event()
            token = trio.lowlevel.current_trio_token()
            third.pool.on_added(lambda pooled: token.run_sync_soon(heard.set))
            assert "result" in await ask(client, first, "eth_sendRawTransaction", raw_transfer(0))
            with trio.move_on_after(PATIENCE if DUTIES[role].relays_transactions else 2.0):
                await heard.wait()
            assert heard.is_set() is DUTIES[role].relays_transactions
            (peer,) = third.network.peers
            assert [header.number for header in await peer.requests.request_headers(0, 1)] == [0]
            assert len(await peer.requests.request_bodies([middle.chain.genesis_hash])) == 1
            assert len(await peer.requests.request_receipts([middle.chain.genesis_hash])) == 1
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("role", COLUMNS)
async def test_who_hands_on_what_stands_in_its_own_pool(role: NodeRole | None) -> None:
    """Neither in answer to a request nor unasked, to a new peer or an old one, does an observer."""
    node = make(KEYS[1], role)
    async with running(node):
        async with network_of(node) as (peer, heard):
            transaction = Transaction.decode(bytes.fromhex(raw_transfer(0)[2:]))
            await trio.to_thread.run_sync(lambda: node.pool.add(transaction, local=True, now=time.time()))
            with trio.move_on_after(PATIENCE if DUTIES[role].relays_transactions else 1.0):
                await heard.wait("transactions")
            assert bool(heard.of("transactions")) is DUTIES[role].relays_transactions
            assert (
                bool(await peer.requests.request_pooled_transactions([transaction.hash]))
                is DUTIES[role].relays_transactions
            )
        async with network_of(node) as (_, heard):
            with trio.move_on_after(PATIENCE if DUTIES[role].relays_transactions else 1.0):
                await heard.wait("transaction hashes")
            assert bool(heard.of("transaction hashes")) is DUTIES[role].relays_transactions


@pytest.mark.parametrize("role", COLUMNS[1:])
async def test_everybody_passes_blocks_on(role: NodeRole) -> None:
    """The peer is connected to the node in question alone, and asks it for nothing."""
    validator = make(KEYS[0], None)
    async with running(validator):
        middle = make(KEYS[1], role, static=(place_of(validator),))
        async with trio.open_nursery() as nursery:
            await nursery.start(middle.run)
            async with network_of(middle) as (_, heard):
                await heard.wait("block")  # Others may have come by asking, while the node met its peer.
                second = (await heard.wait("block", 2)).content.number
                assert (await heard.wait("block", 3)).content.number == second + 1
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("role", COLUMNS)
async def test_who_dials_nodes_that_discovery_finds(role: NodeRole | None) -> None:
    """Both know the boot node alone. The other one is an observer, so it does not dial whom it discovers."""
    boot = make(KEYS[2], NodeRole.BOOT, bootnodes=())
    async with running(boot):
        other = make(NodeKey.generate(), NodeRole.OBSERVER, bootnodes=(boot.network.local_enode,))
        node = make(KEYS[1], role, bootnodes=(boot.network.local_enode,))
        async with trio.open_nursery() as nursery:
            await nursery.start(other.run)
            await connected(lambda: peers_of(other) == {boot.key.address})
            await nursery.start(node.run)
            await connected(lambda: boot.key.address in peers_of(node))
            with trio.move_on_after(PATIENCE if DUTIES[role].dials_discovered else 2.0):
                await connected(lambda: other.key.address in peers_of(node))
            assert (other.key.address in peers_of(node)) is DUTIES[role].dials_discovered
            nursery.cancel_scope.cancel()


def place_of(node: Node) -> Enode:
    """Where a running node is to be dialled."""
    local = node.network.local_enode
    return Enode(local.id, "127.0.0.1", local.tcp, None)


def peers_of(node: Node) -> set[bytes]:
    return {peer.address for peer in node.network.peers}


@asynccontextmanager
async def network_of(node: Node) -> AsyncIterator[tuple[Peer, Recorder]]:
    """A stranger's connection to `node` that asks for nothing, and what it hears."""
    visitor, heard = make(NodeKey.generate(), None), Recorder()
    config = P2pNetworkConfig(
        client_id="visitor",
        capabilities=CAPABILITIES,
        interface="127.0.0.1",
        port=0,
        discovery=False,
        static_nodes=(place_of(node),),
    )
    network = P2pNetwork(
        config, visitor.key, status=visitor.local_status, chain=visitor.chain, pool=visitor.pool, handler=heard
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(network.run)
        yield (await heard.wait("joined")).peer, heard
        nursery.cancel_scope.cancel()


def test_the_conflict_stands_in_json() -> None:
    """What the page shows is what `lac_nodeRole` answers."""
    shown = re.search(r"```json\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert shown is not None
    document = json.loads(shown.group(1))
    assert document["conflicts"] == role_conflicts(NodeRole.BOOT, False, NodeType.WRITER)
