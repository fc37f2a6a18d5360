"""The sender of a transaction is recovered once, from the socket to the disk."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.crypto import secp256k1
from lacnode.crypto.recent_senders import RecentSenders
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind
from lacnode.evm.native_library import native_library
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import Transaction
from lacnode.storage.lmdb_database import LmdbDatabase
from tests.support.chain_genesis import PAYER
from tests.support.chain_network import network, sealed
from tests.support.chain_transactions import Offer, transaction
from tests.support.rpc_node import RpcNode, call, rpc_node

COUNT = 3


@pytest.fixture
def recovered(monkeypatch: pytest.MonkeyPatch, each_engine: EngineKind) -> Counter[bytes]:
    """How often the sender of each transaction, by its hash, was recovered. None is remembered at the beginning."""
    counts: Counter[bytes] = Counter()
    monkeypatch.setattr(secp256k1, "_RECENT_SENDERS", RecentSenders())
    recover_one: Callable[[Transaction], bytes] = secp256k1._recovered_sender

    def one(transaction: Transaction) -> bytes:
        counts[transaction.hash] += 1
        return recover_one(transaction)

    monkeypatch.setattr(secp256k1, "_recovered_sender", one)
    if each_engine is EngineKind.NATIVE:
        recover_many = native_library().recover_senders

        def many(raws: list[bytes]) -> Any:
            counts.update(keccak256(raw) for raw in raws)
            return recover_many(raws)

        monkeypatch.setattr(native_library(), "recover_senders", many)
    return counts


def _check_and_import(node: RpcNode, block: Block, kind: EngineKind, path: Path) -> None:
    """Check `block` as a proposal, execute it on an engine of `kind`, import it here and on a node with files."""
    chain = node.made.chain
    # As its bytes come from a peer: no object of the pool is in it.
    block = Block.decode(block.encode())
    engine = make_engine(chain.spec, DatabaseNodeStore(node.made.database), kind=kind)
    engine.execute(chain.head.header.state_root, block.header, block.transactions, lambda _: None)
    chain.check_proposal(block)
    done = sealed(block, chain)
    assert chain.import_block(done)
    database = LmdbDatabase(path, durable=True)
    late = network(database=database)
    assert late.chain.import_block(done)
    database.close()


async def test_from_a_request_to_the_disk_and_back(
    recovered: Counter[bytes], each_engine: EngineKind, tmp_path: Path
) -> None:
    sent = [transaction(nonce) for nonce in range(COUNT)]
    async with rpc_node(websocket=None) as node, httpx.AsyncClient(timeout=60) as client:
        for each in sent:
            await call(client, node.url, "eth_sendRawTransaction", "0x" + each.raw.hex())
        block = node.made.build([Offer(each) for each in sent])
        await trio.to_thread.run_sync(_check_and_import, node, block, each_engine, tmp_path)
        shown = await call(client, node.url, "eth_getTransactionByHash", "0x" + sent[0].hash.hex())
    assert shown["from"] == "0x" + PAYER.address.hex()
    assert recovered == {each.hash: 1 for each in sent}


async def test_from_a_peer_to_the_disk(recovered: Counter[bytes], each_engine: EngineKind, tmp_path: Path) -> None:
    sent = [transaction(nonce) for nonce in range(COUNT)]
    async with rpc_node(None, None) as node:
        submit = node.services.submission.submit_gossip
        for _ in range(2):
            # The second time as from another peer.
            await trio.to_thread.run_sync(submit, [Transaction.decode(each.raw) for each in sent])
        block = node.made.build(node.pool.candidates(None, time.time()))  # type: ignore[arg-type]
        assert len(block.transactions) == COUNT
        await trio.to_thread.run_sync(_check_and_import, node, block, each_engine, tmp_path)
    assert recovered == {each.hash: 1 for each in sent}


async def test_from_a_proposal_to_the_disk(recovered: Counter[bytes], each_engine: EngineKind, tmp_path: Path) -> None:
    """The transactions were never in the pool of the node that checks the block."""
    sent = [transaction(nonce) for nonce in range(COUNT)]
    block = network().build([Offer(each) for each in sent])
    async with rpc_node(None, None) as node:
        await trio.to_thread.run_sync(_check_and_import, node, block, each_engine, tmp_path)
    assert recovered == {each.hash: 1 for each in sent}
