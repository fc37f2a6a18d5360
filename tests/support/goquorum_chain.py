"""A chain that a node of GoQuorum 24.4.1 made: IBFT 1 up to block 29, and QBFT from block 30 on.

`tests/vectors/goquorum` has the genesis file and the output of `geth export`. One validator made the blocks. The first
transaction deploys a contract that stores COINBASE. The second one is private, and this node is no party to it. The last
block is the one with the number `LAST`.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import parse_genesis
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.engines import engine

DATA = Path(__file__).resolve().parents[1] / "vectors" / "goquorum"
FIRST_OF_QBFT = 30


def goquorum_genesis_document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DATA / "genesis.json").read_text())
    return document


def exported_blocks() -> list[Block]:
    """The blocks from the genesis on."""
    data = gzip.decompress((DATA / "chain.rlp.gz").read_bytes())
    items = rlp.decode_list(rlp.wrap_list(data), "blocks")
    return [Block.decode(rlp.encode(item)) for item in items]


def empty_chain() -> Blockchain:
    """A chain with the genesis alone."""
    spec, database = parse_genesis(goquorum_genesis_document()), MemoryDatabase()
    return Blockchain(spec, database, engine(spec, DatabaseNodeStore(database)))
