"""The chain of Besu's own DEBUG and TRACE specification files: 33 blocks of proof of work, made here as Besu makes them.

No seal is made. The hashes of the blocks, which hang on the seals, come from the specification files.
"""

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from lacnode.chain.chain_store import write_genesis_hash, write_state
from lacnode.chainspec.genesis import parse_genesis
from lacnode.chainspec.spec import ChainSpec
from lacnode.crypto.node_key import NodeKey
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import Transaction
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.hive_chain import DATA, HiveChain, store_block
from tests.support.rpc_chain import signed

REWARD = 2 * 10**18
START_TIME = 1_438_269_971


def trace_data(release: str) -> Path:
    """The folder with the chain and the specification files of `release`."""
    return DATA / release / "jsonrpc" / "trace"


def trace_spec(release: str) -> ChainSpec:
    """The network of the files, as if its blocks were agreed on."""
    document = json.loads((trace_data(release) / "chain-data" / "genesis.json").read_text())
    config: dict[str, Any] = document["config"]
    config.pop("ethash")
    config["chainId"] = config.pop("chainID")
    config["ibft2"] = {"blockreward": hex(REWARD)}
    return parse_genesis(document)


@lru_cache(maxsize=2)
def trace_chain(release: str) -> HiveChain:
    """The chain, whose last block is the head."""
    spec = trace_spec(release)
    nodes: dict[bytes, bytes] = {}
    engine = PyEvmEngine(spec, nodes)
    root, first_nodes = engine.genesis_state()
    nodes.update(first_nodes)
    database = MemoryDatabase()
    genesis = Block(spec.genesis.header(root), BlockBody())
    hashes = [keccak256(genesis.header.encode())]
    store_block(database, genesis, hashes[0], None)
    header = genesis.header
    for entry in json.loads((trace_data(release) / "chain-data" / "blocks.json").read_text())["blocks"]:
        header = _next_header(header, hashes[-1])
        transactions = _transactions(engine, root, entry, spec.chain_id)
        executed = engine.execute(root, header, transactions, lambda number: hashes[number])
        nodes.update(executed.nodes)
        root = executed.state_root
        header = executed.complete_header(header)
        hashes.append(_hash(release, header.number))
        store_block(database, Block(header, BlockBody(tuple(transactions))), hashes[-1], executed)
    with database.write() as batch:
        write_genesis_hash(batch, hashes[0])
        write_state(batch, nodes)
    chain = HiveChain(spec, database)
    chain.difficulties = {number: 15 * (number + 1) for number in range(len(hashes))}
    assert chain.move_to(hashes[-1])
    return chain


def _next_header(parent: BlockHeader, parent_hash: bytes) -> BlockHeader:
    number = parent.number + 1
    timestamp = START_TIME + number - 1
    return replace(
        parent, parent_hash=parent_hash, number=number, timestamp=timestamp, extra_data=b"", coinbase=bytes(20)
    )


def _transactions(engine: PyEvmEngine, root: bytes, entry: dict[str, Any], chain_id: int) -> list[Transaction]:
    nonces: dict[bytes, int] = {}
    transactions = []
    for fields in entry["transactions"]:
        key = NodeKey.from_private_key(bytes.fromhex(fields["secretKey"][2:]))
        nonce = nonces.setdefault(key.address, engine.accounts(root).nonce(key.address))
        nonces[key.address] += 1
        transactions.append(
            signed(
                key,
                nonce,
                price=int(fields["gasPrice"], 16),
                gas=int(fields["gasLimit"], 16),
                to=_bytes(fields["to"]) if fields.get("to") else None,
                value=int(fields.get("value", "0x0"), 16),
                data=_bytes(fields.get("data", "")),
                chain_id=None,
            )
        )
    return transactions


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _hash(release: str, number: int) -> bytes:
    file = json.loads((trace_data(release) / "specs" / "trace-block" / f"trace_block_0x{number:X}.json").read_text())
    return _bytes(file["response"]["result"][0]["blockHash"])
