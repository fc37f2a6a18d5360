"""The chain of Besu's own API specification files: 34 blocks of proof of work, executed here by our engine.

No seal is checked. What networks of IBFT 2.0 do not have (rewards of ommers, withdrawals) is put into the state by hand,
so that every state root comes out as its header says.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trie.hexary import HexaryTrie

from lacnode.chain.chain_store import (
    BLOOMS,
    BODIES,
    HEAD,
    HEADERS,
    META,
    NUMBERS,
    OUTCOMES,
    TRANSACTIONS,
    write_genesis_hash,
    write_state,
)
from lacnode.chain.read_only_chain import ReadOnlyChain
from lacnode.chain.receipt_record import ReceiptRecord, encode_receipt_records
from lacnode.chainspec.genesis import parse_genesis
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.engine import ExecutedBlock
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.storage.memory_database import MemoryDatabase

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "besu-rpc"
REWARD = 5 * 10**18
EMPTY_ACCOUNT = rlp.encode([b"", b"", EMPTY_TRIE_ROOT, keccak256(b"")])
FIRST_WITHOUT_REWARD = 33


class HiveChain(ReadOnlyChain):
    """The chain as a reader sees it, with the difficulties of proof of work."""

    difficulties: Mapping[int, int]

    def total_difficulty_of(self, header: BlockHeader) -> int:
        return self.difficulties[header.number]


def hive_spec(release: str) -> ChainSpec:
    """The network of the files of `release`, as if its blocks were agreed on."""
    document = json.loads((DATA / release / "hive" / "testGenesis.json").read_text())
    config: dict[str, Any] = document["config"]
    config.pop("ethash", None)
    config["ibft2"] = {"blockreward": hex(REWARD)}
    config["transitions"] = {"ibft2": [{"block": FIRST_WITHOUT_REWARD, "blockreward": "0x0"}]}
    return parse_genesis(document)


def hive_chain(release: str) -> HiveChain:
    """The chain, whose last block is the head."""
    spec = hive_spec(release)
    nodes: dict[bytes, bytes] = {}
    engine = PyEvmEngine(spec, nodes)
    root, first_nodes = engine.genesis_state()
    nodes.update(first_nodes)
    database = MemoryDatabase()
    genesis = Block(spec.genesis.header(root), BlockBody())
    hashes = [keccak256(genesis.header.encode())]
    difficulties = [genesis.header.difficulty]
    store_block(database, genesis, hashes[0], None)
    for block in _blocks(release):
        executed = _executed(engine, block, root, hashes, nodes)
        assert executed.state_root == block.header.state_root, f"state root of block {block.number}"
        assert executed.receipts_root == block.header.receipts_root, f"receipts of block {block.number}"
        root = executed.state_root
        hashes.append(keccak256(block.header.encode()))
        difficulties.append(difficulties[-1] + block.header.difficulty)
        store_block(database, block, hashes[-1], executed)
    with database.write() as batch:
        write_genesis_hash(batch, hashes[0])
        write_state(batch, nodes)
    chain = HiveChain(spec, database)
    chain.difficulties = dict(enumerate(difficulties))
    assert chain.move_to(hashes[-1])
    return chain


def _blocks(release: str) -> list[Block]:
    data = (DATA / release / "hive" / "testBlockchain.blocks").read_bytes()
    blocks = []
    while data:
        size = _length(data)
        blocks.append(Block.decode(data[:size]))
        data = data[size:]
    return [block for block in blocks if block.number > 0]


def _length(data: bytes) -> int:
    """Bytes of the list that `data` begins with."""
    first = data[0]
    if first < 0xF8:
        return 1 + first - 0xC0
    size = first - 0xF7
    return 1 + size + int.from_bytes(data[1 : 1 + size])


def _executed(
    engine: PyEvmEngine, block: Block, root: bytes, hashes: list[bytes], nodes: dict[bytes, bytes]
) -> ExecutedBlock:
    executed = engine.execute(
        root, block.header, block.transactions, lambda number: hashes[number] if number < len(hashes) else None
    )
    nodes.update(executed.nodes)
    return replace(executed, state_root=_with_gifts(executed.state_root, _gifts(block), nodes))


def _gifts(block: Block) -> list[tuple[bytes, int]]:
    """What a block gives besides the reward for itself: for ommers, and by withdrawals (whose amounts are in gwei)."""
    gifts = []
    for ommer in block.body.ommers:
        gifts.append((ommer.coinbase, REWARD * (8 + ommer.number - block.number) // 8))
        gifts.append((block.header.coinbase, REWARD // 32))
    for encoded in block.body.withdrawals or ():
        _, _, address, amount = rlp.decode_list(encoded, "withdrawal")
        assert isinstance(address, bytes)
        assert isinstance(amount, bytes)
        gifts.append((address, int.from_bytes(amount) * 10**9))
    return gifts


def _with_gifts(root: bytes, gifts: list[tuple[bytes, int]], nodes: dict[bytes, bytes]) -> bytes:
    trie: Any = HexaryTrie(nodes, root)
    for address, amount in gifts:
        key = keccak256(address)
        items = list(rlp.decode_list(trie.get(key) or EMPTY_ACCOUNT, "account"))
        assert isinstance(items[1], bytes)
        items[1] = rlp.encode_scalar(int.from_bytes(items[1]) + amount)
        trie.set(key, rlp.encode(items))
    return bytes(trie.root_hash)


def store_block(database: MemoryDatabase, block: Block, hash_: bytes, executed: ExecutedBlock | None) -> None:
    number = block.number.to_bytes(8)
    with database.write() as batch:
        batch.put(HEADERS, hash_, block.header.encode())
        batch.put(BODIES, hash_, block.body.encode())
        batch.put(OUTCOMES, hash_, encode_receipt_records(() if executed is None else _outcomes(executed)))
        batch.put(NUMBERS, number, hash_)
        for index, transaction in enumerate(block.transactions):
            batch.put(TRANSACTIONS, transaction.hash, number + index.to_bytes(4))
        if block.header.logs_bloom != EMPTY_BLOOM:
            batch.put(BLOOMS, number, block.header.logs_bloom)
        batch.put(META, HEAD, hash_)


def _outcomes(executed: ExecutedBlock) -> tuple[ReceiptRecord, ...]:
    parts = (executed.senders, executed.receipts, executed.gas_used_by, executed.created, executed.revert_reasons)
    return tuple(ReceiptRecord(*each) for each in zip(*parts, strict=True))
