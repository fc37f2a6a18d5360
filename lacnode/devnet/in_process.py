"""A whole network in one process, with nothing on disk: for test suites and quick trials.

The nodes are real ones, and use devp2p over the loopback interface. Only their databases and write-ahead logs are in memory.
Must not replace other parts of the node.
"""

import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from lacnode.chainspec.genesis import parse_genesis
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.accounts import DevnetAccount, funded_accounts, mnemonic_accounts
from lacnode.devnet.allowed_pages import HOSTS, ORIGINS
from lacnode.devnet.devnet_genesis import DEFAULT_CONSENSUS, DEFAULT_FORK, devnet_genesis
from lacnode.devnet.devnet_ports import NodePorts, developer_port, node_ports
from lacnode.devnet.manifest import DevnetError
from lacnode.node.assembly import build_node
from lacnode.node.configuration import NodeConfig, P2pSettings
from lacnode.node.logs import configure_logs
from lacnode.node.node import Node
from lacnode.node.node_resources import NodeResources
from lacnode.p2p.p2p_network import P2pPortUnavailableError
from lacnode.p2p.wire.enode import Enode
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.server import PortUnavailableError
from lacnode.rpc.settings import HttpSettings, WebSocketSettings
from lacnode.storage.consensus_log import MemoryConsensusLog
from lacnode.storage.memory_database import MemoryDatabase
from lacnode.txpool.pool_settings import PoolSettings

RPC_GROUPS = ("ADMIN", "DEBUG", "ETH", "IBFT", "LAC", "NET", "QBFT", "TRACE", "TXPOOL", "WEB3")
NOWHERE = Path("in-memory")
TABLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class MemoryNetwork:
    """The nodes of a network in this process, and the accounts of their genesis. The nodes run while `run` does."""

    nodes: tuple[Node, ...]
    accounts: tuple[DevnetAccount, ...]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run all nodes until cancelled. Reports that it has started once every port is open. An exception group with
        P2pPortUnavailableError or PortUnavailableError if a port is taken."""
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                await nursery.start(node.run)
            task_status.started()

    async def wait_for_block(self, number: int) -> None:
        """Return once block `number` is on every node. It has no deadline."""
        for node in self.nodes:
            await node.wait_for_block(number)

    def to_document(self) -> dict[str, object]:
        """Return the document that `lacnode devnet --in-process --json` prints: nodes and accounts. The nodes here have
        no process and no directory: `pid` and `data_path` are None. Call it once the ports are open: it names them."""
        return {
            "nodes": [
                {
                    "name": f"validator-{number}",
                    "role": "validator",
                    "address": to_hex(node.key.address),
                    "enode": str(node.network.local_enode),
                    "rpc_url": f"http://127.0.0.1:{node.rpc.http_port}",
                    "ws_url": f"ws://127.0.0.1:{node.rpc.ws_port}",
                    "pid": None,
                    "data_path": None,
                }
                for number, node in enumerate(self.nodes, start=1)
            ],
            "accounts": [{"address": a.address, "private_key": a.private_key} for a in self.accounts],
        }


def build_memory_network(
    validators: int,
    block_period: float,
    port_offset: int,
    fork: str = DEFAULT_FORK,
    consensus: str = DEFAULT_CONSENSUS,
) -> MemoryNetwork:
    """Build a network of `validators` nodes, at least one, with a block every `block_period` seconds. `fork` is a key
    of `DEVNET_FORKS`, and `consensus` the name of a protocol. KeyError for another one. Their ports are `port_offset`
    above the well-known ones, and the first node's RPC port is `developer_port`. Nothing runs yet."""
    keys = [NodeKey.generate() for _ in range(validators)]
    ports = [node_ports(index, port_offset) for index in range(validators)]
    # There is no developer endpoint here, so the first node has its port.
    ports[0] = ports[0]._replace(rpc=developer_port(port_offset))
    accounts = (*funded_accounts(), *mnemonic_accounts())
    # One second in the past, so that the first block is due at once.
    begins = int(time.time()) - 1
    genesis = devnet_genesis([key.address for key in keys], accounts, block_period, begins, fork, consensus)
    spec = parse_genesis(genesis)
    enodes = [Enode(key.public_key, "127.0.0.1", place.p2p, None) for key, place in zip(keys, ports, strict=True)]
    nodes = []
    for key, place in zip(keys, ports, strict=True):
        # All nodes know each other as static nodes, so discovery is not needed and the network is complete at once.
        others = tuple(enode for enode in enodes if enode.id != key.public_key)
        parts = NodeResources(spec, key, MemoryDatabase(), MemoryConsensusLog())
        nodes.append(build_node(memory_node_config(place, others), parts))
    return MemoryNetwork(tuple(nodes), accounts)


def memory_node_config(ports: NodePorts, others: tuple[Enode, ...]) -> NodeConfig:
    """Return the settings of a node of a `MemoryNetwork`. `others` are its static nodes. The settings name no place on
    the disk: the caller builds the node with a database in memory."""
    return NodeConfig(
        data_path=NOWHERE,
        genesis_file=NOWHERE,
        p2p=P2pSettings(
            interface="127.0.0.1",
            port=ports.p2p,
            max_peers=100,
            # Nodes dial each other at the same moment. A limit on inbound peers would only delay the start.
            inbound_share=None,
            discovery=False,
            static_nodes=others,
        ),
        http=HttpSettings(
            port=ports.rpc, groups=RPC_GROUPS, allowed_hosts=HOSTS, cors_origins=ORIGINS, max_connections=1000
        ),
        websocket=WebSocketSettings(
            port=ports.ws, groups=RPC_GROUPS, allowed_hosts=HOSTS, cors_origins=ORIGINS, max_connections=1000
        ),
        # One test account may fill the pool, and free transactions are accepted, as in LACChain's networks.
        pool=PoolSettings(sender_share=1.0, min_gas_price=0, block_min_gas_price=0, price_bump=0),
        keep_revert_reasons=True,
    )


def run_in_process_devnet(
    validators: int, block_period: float, port_offset: int, as_json: bool, fork: str, consensus: str
) -> int:
    """Run `lacnode devnet --in-process` until SIGINT or SIGTERM. It prints the document of the network once if
    `as_json`, else accounts, and heights every `TABLE_SECONDS`. Return the exit status 0. The values are those of
    `build_memory_network`. DevnetError if a port is taken."""
    configure_logs("WARN")
    network = build_memory_network(validators, block_period, port_offset, fork, consensus)
    reasons: list[str] = []
    try:
        trio.run(_watch, network, as_json)
    except* (P2pPortUnavailableError, PortUnavailableError) as taken:
        reasons += _reasons(taken)
    # Outside of the `except*`, which would put the error into a group.
    if reasons:
        raise DevnetError(reasons[0])
    return 0


def _reasons(error: BaseException) -> Iterator[str]:
    """Yield the texts of an error, or of all errors in a group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _reasons(inner)
    else:
        yield str(error)


async def _watch(network: MemoryNetwork, as_json: bool) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, nursery.cancel_scope)
        await nursery.start(network.run)
        await network.wait_for_block(1)
        if as_json:
            print(json.dumps(network.to_document()), flush=True)
            # The document is the whole output. A script reads it and ends the network by a signal.
            await trio.sleep_forever()
        for account in network.accounts:
            print(f"  {account.address}  {account.private_key}")
        while True:
            print(_line(network.nodes), flush=True)
            await trio.sleep(TABLE_SECONDS)


def _line(nodes: Sequence[Node]) -> str:
    return ", ".join(
        f"validator-{number} http://127.0.0.1:{node.rpc.http_port} #{node.chain.head.header.number}"
        for number, node in enumerate(nodes, start=1)
    )


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            print("stopping", file=sys.stderr)
            scope.cancel()
            return
