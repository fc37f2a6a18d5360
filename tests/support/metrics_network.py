"""Nodes in one process whose metrics are read as Prometheus reads them."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import trio
from eth_account import Account

from lacnode.chainspec.genesis import parse_genesis
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.accounts import DevnetAccount, funded_accounts
from lacnode.devnet.devnet_genesis import CHAIN_ID, devnet_genesis
from lacnode.metrics.metrics_settings import MetricsSettings
from lacnode.node.assembly import build_node
from lacnode.node.configuration import NodeConfig, P2pSettings
from lacnode.node.node import Node
from lacnode.node.node_resources import NodeResources
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.local_allowlists import AccountAllowlist, LocalPermissions
from lacnode.rpc.settings import ApiSettings, HttpSettings, WebSocketSettings
from lacnode.storage.consensus_log import MemoryConsensusLog
from lacnode.storage.memory_database import MemoryDatabase
from lacnode.txpool.pool_settings import PoolSettings

PATIENCE = 60
LISTED, STRANGER = funded_accounts()[:2]
BLOCK_PERIOD = 0.5


class MetricsNetwork:
    """Makes nodes of one network. `keys` are the validators."""

    def __init__(self, keys: Sequence[NodeKey], path: Path, start: int | None = None) -> None:
        time_ = int(time.time()) - 1 if start is None else start
        self._genesis = devnet_genesis([key.address for key in keys], funded_accounts(), BLOCK_PERIOD, time_)
        self._path = path

    def make(self, key: NodeKey, static: tuple[Enode, ...] = ()) -> Node:
        """A node with a list of accounts, that listens on free ports of this machine."""
        self._path.mkdir(exist_ok=True)
        accounts = self._path / f"{key.address.hex()}.toml"
        accounts.write_text(f'accounts-allowlist=["{LISTED.address}"]\n')
        config = NodeConfig(
            data_path=self._path,
            genesis_file=self._path,
            p2p=P2pSettings(interface="127.0.0.1", port=0, discovery=True, static_nodes=static, bootnodes=static),
            http=HttpSettings(port=0),
            websocket=WebSocketSettings(port=0),
            metrics=MetricsSettings(port=0),
            api=ApiSettings(reader_processes=0),
            pool=PoolSettings(sender_share=1.0, min_gas_price=0, block_min_gas_price=0, price_bump=0),
        )
        resources = NodeResources(
            parse_genesis(json.loads(json.dumps(self._genesis))),
            key,
            MemoryDatabase(),
            MemoryConsensusLog(),
            local_permissions=LocalPermissions(accounts=AccountAllowlist(accounts)),
        )
        return build_node(config, resources)


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[httpx.AsyncClient]:
    """The nodes run until the block is left."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery, httpx.AsyncClient(timeout=PATIENCE) as client:
            for node in nodes:
                await nursery.start(node.run)
            yield client
            nursery.cancel_scope.cancel()


async def scrape(client: httpx.AsyncClient, node: Node) -> str:
    """What the node serves to Prometheus."""
    assert node.metrics is not None
    response = await client.get(f"http://127.0.0.1:{node.metrics.port}/metrics")
    assert response.status_code == 200
    return response.text


async def call(client: httpx.AsyncClient, node: Node, method: str, *params: object) -> dict[str, object]:
    """The reply of the node to a call of JSON-RPC."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    reply: dict[str, object] = (await client.post(f"http://127.0.0.1:{node.rpc.http_port}", json=request)).json()
    return reply


async def send(client: httpx.AsyncClient, node: Node, account: DevnetAccount, nonce: int = 0) -> dict[str, object]:
    """Send a transaction of `account` and return the reply."""
    fields = {
        "nonce": nonce,
        "gas": 21_000,
        "gasPrice": 0,
        "value": 0,
        "to": b"\x42" * 20,
        "data": b"",
        "chainId": CHAIN_ID,
    }
    raw = Account.sign_transaction(fields, account.private_key).raw_transaction
    return await call(client, node, "eth_sendRawTransaction", "0x" + bytes(raw).hex())
