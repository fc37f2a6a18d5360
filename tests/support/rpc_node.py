"""A node's API on real sockets: a chain on py-evm in memory, a pool, and both ports, without consensus and peers."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import httpx
import trio

from lacnode.chain.blockchain import NewHead
from lacnode.consensus.bft.controller import ConsensusStatus
from lacnode.consensus.bft.vote_proposer import VoteProposer
from lacnode.primitives.block import Block
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.rpc.recent_prices import RecentPrices
from lacnode.rpc.request_runner import Readers
from lacnode.rpc.server import RpcServers
from lacnode.rpc.services import ChainCaches, NetworkView, NodeFacts, NodeStatusReaders, RoleView, RpcServices
from lacnode.rpc.settings import ApiSettings, HttpSettings, IpcSettings, WebSocketSettings
from lacnode.txpool.admission import HeadState, TransactionAdmission
from lacnode.txpool.pool_settings import PoolSettings
from lacnode.txpool.transaction_pool import TransactionPool
from lacnode.txpool.transaction_submission import TransactionSubmission
from lacnode.workers.event_loop import EventLoop
from tests.support.chain_genesis import ADDRESSES, PAYER
from tests.support.chain_network import Network, network
from tests.support.chain_transactions import Offer
from tests.support.permission_queries import queries_without_rules

HTTP = HttpSettings(port=0, groups=("ETH", "NET", "WEB3"))
WEBSOCKET = WebSocketSettings(port=0, groups=("ETH", "NET"))
PATIENCE = 20.0
"""Seconds after which something that should have happened is given up on."""


@dataclass
class Sync:
    """How far a sync is."""

    starting_block: int = 0
    current_block: int = 10
    highest_block: int = 10


@dataclass
class FakePeerNetwork:
    """A network of so many peers."""

    peers: list[object] = field(default_factory=list)


@dataclass
class RpcNode:
    """The API as a client meets it, and levers for what happens behind it."""

    made: Network
    pool: TransactionPool
    servers: RpcServers
    services: RpcServices
    peers: FakePeerNetwork
    sync: Sync | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.servers.http_port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.servers.ws_port}"

    @property
    def http_port(self) -> int:
        assert self.servers.http_port is not None
        return self.servers.http_port

    @property
    def ws_port(self) -> int:
        assert self.servers.ws_port is not None
        return self.servers.ws_port

    async def grow(self, *transactions: Transaction) -> Block:
        """A new block with `transactions`."""
        return await trio.to_thread.run_sync(partial(self.made.grow, [Offer(t) for t in transactions]))

    def pend(self, transaction: Transaction) -> None:
        """Put `transaction` into the pool."""
        self.pool.add(transaction, local=True, now=time.time())


@asynccontextmanager
async def rpc_node(
    http: HttpSettings | None = HTTP,
    websocket: WebSocketSettings | None = WEBSOCKET,
    *,
    p2p: bool = True,
    api: ApiSettings | None = None,
    readers: Readers | None = None,
    ipc: IpcSettings | None = None,
) -> AsyncIterator[RpcNode]:
    """A running API; everything has stopped when the block is left."""
    made = network()
    chain = made.chain

    def head() -> HeadState:
        return HeadState(chain.head.header, chain.state_at(chain.head.header))

    settings = PoolSettings()
    pool = TransactionPool(settings, TransactionAdmission(chain.spec, settings, head), head)
    peers, queries = FakePeerNetwork([object()]), queries_without_rules(chain)
    services = RpcServices(
        chain=chain,
        pool=pool,
        submission=TransactionSubmission(pool, queries.explain_transaction),
        network=cast(NetworkView, peers) if p2p else None,
        vote_proposer=VoteProposer(),
        permissions=queries,
        node=NodeFacts(1337, "lacnode/test", PAYER.address),
        status=NodeStatusReaders(
            lambda: RoleView(None, False, None, ()), lambda: node.sync, lambda: ConsensusStatus(1, False, ADDRESSES)
        ),
        settings=api or ApiSettings(),
        event_loop=EventLoop(),
        caches=ChainCaches(RecentBlocks(chain), RecentPrices(chain, (api or ApiSettings()).gas_price_blocks)),
    )
    servers = RpcServers(http, websocket, services, readers, ipc)
    node = RpcNode(made, pool, servers, services, peers)
    token = trio.lowlevel.current_trio_token()
    services.event_loop.attach()

    def new_head(head: NewHead) -> None:
        pool.block_imported(head.block.transactions, [outcome.sender for outcome in head.receipt_records])
        token.run_sync_soon(servers.subscriptions.block_added, head)

    chain.on_head(new_head)
    pool.on_added(lambda pooled: token.run_sync_soon(servers.subscriptions.pending_added, pooled))
    pool.on_dropped(lambda pooled: token.run_sync_soon(servers.subscriptions.pending_dropped, pooled))
    async with trio.open_nursery() as nursery:
        await nursery.start(servers.run)
        yield node
        nursery.cancel_scope.cancel()


def http_settings(**changes: Any) -> HttpSettings:
    return replace(HTTP, **changes)


def ws_settings(**changes: Any) -> WebSocketSettings:
    return replace(WEBSOCKET, **changes)


def request(method: str, *params: object, id_: object = 1) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": list(params)}


async def call(client: httpx.AsyncClient, url: str, method: str, *params: object) -> Any:
    """The result of a call over HTTP."""
    reply = (await client.post(url, json=request(method, *params))).json()
    assert "error" not in reply, reply
    return reply["result"]


async def raw(port: int, data: bytes) -> bytes:
    """What the server says to `data` until it hangs up."""
    with trio.fail_after(PATIENCE):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(data)
            return await read_to_end(stream)


async def read_to_end(stream: trio.SocketStream) -> bytes:
    parts = []
    try:
        while part := await stream.receive_some():
            parts.append(part)
    except trio.BrokenResourceError:
        pass
    return b"".join(parts)


def error_code(text: bytes | str) -> int:
    code = json.loads(text)["error"]["code"]
    assert isinstance(code, int)
    return code
