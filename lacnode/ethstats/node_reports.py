"""The messages of this node to an ethstats server, as Besu's `EthStatsService` writes them.

They are made in a worker thread. Must not know the connection.
"""

import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import orjson

from lacnode.ethstats.ethstats_settings import EthstatsSettings
from lacnode.p2p.supported_capabilities import supported_capabilities
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.errors import RpcError
from lacnode.rpc.services import RpcServices

MAX_HISTORY_BLOCKS = 50
"""Blocks of one answer. Servers ask for 40 or 50."""

MAX_BLOCK_BYTES = 256 * 1024
"""Bytes of a block with its transactions, stored and in the report. A longer one is sent with their hashes alone: a server
counts them. To decode it would hold the interpreter lock, and so consensus, for up to a second."""

MAX_HISTORY_BYTES = 2 * 2**20
"""Bytes of one answer about earlier blocks. Further blocks are left out."""

UPTIME_PERCENT = 100
"""Besu's constant: a node that reports is up."""


class NodeReports:
    """Makes the messages of the node with this 64-byte `node_id` to an ethstats server, as JSON text. Nothing is sent
    here."""

    def __init__(self, services: RpcServices, settings: EthstatsSettings, node_id: bytes) -> None:
        self._services = services
        self._settings = settings
        self._id = to_hex(node_id)

    def login_message(self) -> str:
        """Return the login with the name, the secret and facts about the node."""
        network = self._services.network
        info = {
            "name": self._settings.name,
            "node": self._services.node.client_version,
            "port": str(0 if network is None else network.local_enode.tcp),
            "net": str(self._services.chain.spec.chain_id),
            "protocol": f"[{', '.join(map(str, supported_capabilities(self._services.chain.protocols)))}]",
            "api": "No",
            "os": platform.system().lower(),
            "os_v": platform.machine(),
            "client": "0.1.1",
            "canUpdateHistory": True,
            "contact": self._settings.contact,
        }
        return _emit("hello", {"id": self._id, "info": info, "secret": self._settings.secret})

    def ping_message(self, now_ms: int) -> str:
        """Return the message by which the latency is measured: the server answers it with a pong. `now_ms` is the time
        of sending (Unix milliseconds)."""
        return _emit("node-ping", {"id": self._id, "clientTime": str(now_ms)})

    def latency_message(self, milliseconds: int) -> str:
        """Return the message with the milliseconds that the server took for its last answer."""
        return _emit("latency", {"id": self._id, "latency": str(milliseconds)})

    def all_reports(self) -> list[str]:
        """Return three messages, in this order: the reports of the last block, of the pool and of the node. This reads
        the database, so the event loop must not call it."""
        return [self._block(), self._pending(), self._stats()]

    def history_message(self, numbers: Sequence[int]) -> str | None:
        """Return the message with the blocks with these numbers, in their order. The last `MAX_HISTORY_BLOCKS` blocks
        if `numbers` is empty. A long block (`MAX_BLOCK_BYTES`) has the hashes of its transactions alone. Unknown
        numbers are left out, and so are blocks beyond `MAX_HISTORY_BLOCKS` or `MAX_HISTORY_BYTES`. None if no block is
        found. This reads the database, so the event loop must not call it."""
        head = self._services.chain.head.header.number
        wanted = list(numbers) or list(range(max(0, head - MAX_HISTORY_BLOCKS + 1), head + 1))
        shown: list[Mapping[str, object]] = []
        size = 0
        for number in wanted[:MAX_HISTORY_BLOCKS]:
            hash_ = self._services.chain.hash_at(number) if 0 <= number <= head else None
            entry = {} if hash_ is None else self._shown(hash_)
            if not entry:
                continue
            size += len(orjson.dumps(entry))
            if size > MAX_HISTORY_BYTES:
                break
            shown.append(entry)
        return _emit("history", {"id": self._id, "history": shown}) if shown else None

    def _block(self) -> str:
        return _emit("block", {"id": self._id, "block": self._shown(self._services.chain.head.hash)})

    def _pending(self) -> str:
        return _emit("pending", {"id": self._id, "stats": {"pending": self._services.pool.statistics.size}})

    def _stats(self) -> str:
        services = self._services
        stats = {
            "active": True,
            "mining": services.status.consensus().is_validator,
            "hashrate": 0,
            "peers": 0 if services.network is None else len(services.network.peers),
            "gasPrice": self._gas_price(),
            # Besu sends the contrary. Servers read it as its name says.
            "syncing": services.status.synchronisation() is not None,
            "uptime": UPTIME_PERCENT,
        }
        return _emit("stats", {"id": self._id, "stats": stats})

    def _gas_price(self) -> int:
        """Return the lowest price (wei) in the last block. It is the lowest that this node takes if there is none above 0,
        or the block is too long to be decoded here."""
        head = self._services.chain.head
        block = self._short_block(head.hash)
        prices = [tx.effective_gas_price(head.header.base_fee) for tx in (() if block is None else block.transactions)]
        lowest = min(prices, default=0)
        return lowest if lowest > 0 else self._services.pool.settings.block_min_gas_price

    def _short_block(self, hash_: bytes) -> Block | None:
        """Return the block with this hash (32 bytes). None if it is unknown or long."""
        if self._services.chain.body_and_receipts_length_of(hash_) > MAX_BLOCK_BYTES:
            return None
        return self._services.caches.blocks.load_block(hash_)

    def _shown(self, hash_: bytes) -> Mapping[str, object]:
        """Return a block with its transactions, or with their hashes if it is long. It is empty for an unknown hash."""
        chain, block = self._services.chain, self._short_block(hash_)
        with suppress(RpcError):
            if block is not None:
                return results.block(chain, block, hash_, True, max_bytes=MAX_BLOCK_BYTES)
        outline = self._services.caches.blocks.load_outline(hash_)
        return {} if outline is None else results.block_from_outline(chain, outline, hash_)


def primus_pong(now_ms: int) -> str:
    """Return the answer to a keep-alive of the server's library Primus, as JSON text. It has `now_ms` (Unix
    milliseconds) in it."""
    return orjson.dumps(f"primus::pong::{now_ms}").decode()


def unix_ms() -> int:
    """Return the wall clock in Unix milliseconds."""
    return int(time.time() * 1000)


def _emit(kind: str, payload: Mapping[str, object]) -> str:
    return orjson.dumps({"emit": [kind, payload]}).decode()
