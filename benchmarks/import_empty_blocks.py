"""How fast a synchronising node imports empty blocks that four validators sealed, every rule checked, onto a disk.

`python -m benchmarks.import_empty_blocks`. The blocks are made before the clock starts.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Measure
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import parse_genesis
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.ibft2.block_hash import committed_seal_hash
from lacnode.consensus.ibft2.extra_data import encode_extra_data
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.storage.database import Database
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.ibft2_blocks import with_seals

BLOCKS = 2_000
VALIDATORS = 4
AIM = 400.0
"""Blocks a second."""


def measure(blocks: int = BLOCKS) -> list[Measure]:
    """Blocks a second, flushed in groups as when syncing, and each by itself as when agreeing on them."""
    keys = sorted(
        (NodeKey.from_private_key(bytes([n]) * 32) for n in range(1, VALIDATORS + 1)), key=lambda key: key.address
    )
    spec = parse_genesis(_genesis(keys))
    chain = _sealed_chain(spec, keys, blocks)
    note = f"{blocks} empty blocks, {VALIDATORS} validators' seals, full verification, LMDB"
    return [
        Measure("import of empty blocks, syncing", _rate(spec, chain, bulk=True), "blocks/s", AIM, note=note),
        Measure(
            "import of empty blocks, each flushed",
            _rate(spec, chain[: blocks // 4], bulk=False),
            "blocks/s",
            note=note.replace(str(blocks), str(blocks // 4)),
        ),
    ]


def _genesis(keys: Sequence[NodeKey]) -> dict[str, object]:
    extra = ExtraData(bytes(32), tuple(key.address for key in keys))
    return {
        "config": {
            "chainId": 1337,
            "constantinopleFixBlock": 0,
            "ibft2": {"blockperiodseconds": 1, "epochlength": 30_000, "requesttimeoutseconds": 2},
        },
        "nonce": "0x0",
        "timestamp": "0x58ee40ba",
        "extraData": to_hex(encode_extra_data(extra)),
        "gasLimit": "0x1fffffffffffff",
        "difficulty": "0x1",
        "mixHash": "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365",
        "coinbase": "0x0000000000000000000000000000000000000000",
        "alloc": {to_hex(keys[0].address): {"balance": "1000000000000000000"}},
    }


def _sealed_chain(spec: ChainSpec, keys: Sequence[NodeKey], count: int) -> list[Block]:
    chain = _opened(spec, MemoryDatabase())
    extra = encode_extra_data(ExtraData(bytes(32), tuple(key.address for key in keys)))
    blocks = []
    for number in range(1, count + 1):
        head = chain.head.header
        coinbase = keys[number % len(keys)].address
        block = chain.build_block(head.timestamp + 1, coinbase, extra, (), time.monotonic() + 10)
        digest = committed_seal_hash(block.header)
        blocks.append(with_seals(block, tuple(sign(digest, key.private_key) for key in keys)))
        chain.import_block(blocks[-1])
    return blocks


def _rate(spec: ChainSpec, blocks: Sequence[Block], *, bulk: bool) -> float:
    with tempfile.TemporaryDirectory() as directory:
        database = LmdbDatabase(Path(directory))
        chain = _opened(spec, database)
        decoded = [Block.decode(block.encode()) for block in blocks]
        started = time.perf_counter()
        if bulk:
            with chain.bulk_import():
                _import(chain, decoded)
        else:
            _import(chain, decoded)
        elapsed = time.perf_counter() - started
        assert chain.head.header == blocks[-1].header
        database.close()
        return len(blocks) / elapsed


def _import(chain: Blockchain, blocks: Sequence[Block]) -> None:
    for block in blocks:
        chain.import_block(block)


def _opened(spec: ChainSpec, database: Database) -> Blockchain:
    return Blockchain(spec, database, PyEvmEngine(spec, DatabaseNodeStore(database)))


if __name__ == "__main__":
    for result in measure(int(sys.argv[1]) if len(sys.argv) > 1 else BLOCKS):
        print(f"{result.name}: {result.value:.1f} {result.unit} ({result.verdict})")
