"""Executing and committing a block of 1,000 transactions to disk, against py-evm's bare loop in memory.

The bare loop is py-evm alone: decoded transactions of its own, `State.apply_transaction` a thousand times, one state root,
nothing stored. Ours is an import: seals and senders are recovered, receipts, roots and bloom made and compared, and block,
state and indexes committed to an LMDB database with fsync.
"""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.berlin import BerlinVM
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_typing import Address, BlockNumber, Hash32

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
from lacnode.devnet.accounts import DevnetAccount
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.evm.engine import ExecutionEngine
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind
from lacnode.evm.py_evm_block import created_contract_address
from lacnode.evm.rejection import RejectionReason
from lacnode.permissioning.account_permissions import ALLOW_ALL_ACCOUNTS, AccountPermissions
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.transaction import Transaction
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.ibft2_blocks import with_seals

COUNT = 1000
TOKEN = json.loads((Path(__file__).parents[1] / "examples" / "contracts" / "Token.json").read_text())
TRANSFER = keccak256(b"transfer(address,uint256)")[:4]
ROUNDS = 3


def measure() -> list[Measure]:
    """Ratios of speeds, ours over the bare loop's; the best of a few rounds each, taken in turn."""
    measures = []
    for name, make in (("transfers", _transfers), ("ERC-20 transfers", token_transfers)):
        setup, block = make()
        bare = min(_bare(setup, block) for _ in range(ROUNDS))
        ours = min(_ours(setup, block) for _ in range(ROUNDS))
        note = f"bare loop {COUNT / bare:.0f} tx/s, execute and commit {COUNT / ours:.0f} tx/s"
        measures.append(
            Measure(f"block of 1,000 {name}, speed against py-evm's bare loop", bare / ours, "x", 1.0, note=note)
        )
    return measures


SENDER = NodeKey.from_private_key(keccak256(b"benchmark sender"))


def _signed(nonce: int, to: bytes | None, value: int, data: bytes, gas: int) -> bytes:
    fields = {"nonce": nonce, "gasPrice": 0, "gas": gas, "value": value, "data": data, "chainId": 648_555}
    if to is not None:
        fields["to"] = to
    return bytes(Account.sign_transaction(fields, SENDER.private_key).raw_transaction)


def _recipient(number: int) -> bytes:
    return keccak256(b"recipient %d" % number)[:20]


def _transfers() -> tuple[list[bytes], list[bytes]]:
    return [], [_signed(n, _recipient(n), 1, b"", 21_000) for n in range(COUNT)]


def token_transfers() -> tuple[list[bytes], list[bytes]]:
    code = bytes.fromhex(TOKEN["bytecode"][2:]) + abi_encode(["uint256"], [10**30])
    token = created_contract_address(SENDER.address, 0)

    def call(number: int) -> bytes:
        return TRANSFER + abi_encode(["address", "uint256"], [_recipient(number), 5])

    return [_signed(0, None, 0, code, 3_000_000)], [_signed(1 + n, token, 0, call(n), 100_000) for n in range(COUNT)]


def _bare(setup: Sequence[bytes], block: Sequence[bytes]) -> float:
    """Seconds that py-evm's own loop takes for `block`."""
    state = _py_evm_state()
    builder = BerlinVM.get_transaction_builder()
    for raw in setup:
        state.apply_transaction(builder.decode(raw))
        state.lock_changes()
    transactions = [builder.decode(raw) for raw in block]
    started = time.perf_counter()
    for transaction in transactions:
        computation = state.apply_transaction(transaction)
        assert computation.is_success
        state.lock_changes()
    state.make_state_root()
    return time.perf_counter() - started


def _py_evm_state() -> Any:
    context = ExecutionContext(
        coinbase=Address(bytes(20)),
        timestamp=1,
        block_number=BlockNumber(1),
        difficulty=1,
        mix_hash=Hash32(bytes(32)),
        gas_limit=350_000_000,
        prev_hashes=[],
        chain_id=648_555,
    )
    state: Any = BerlinVM.get_state_class()(AtomicDB(), context, EMPTY_TRIE_ROOT)
    state.set_balance(SENDER.address, 10**27)
    return state


class _Offered:
    """A candidate that must be included."""

    is_expected_slow = False

    def __init__(self, raw: bytes) -> None:
        self.transaction = Transaction.decode(raw)
        self.sender = SENDER.address

    def included(self) -> None:
        """As it should be."""

    def skipped(self) -> None:
        raise AssertionError("skipped")

    def interrupted(self, seconds: float, cause: str, *, was_held_up: bool) -> None:
        raise AssertionError(f"interrupted after {seconds} s: {cause}")

    def dropped(self, reason: RejectionReason) -> None:
        raise AssertionError(reason)


def _ours(setup: Sequence[bytes], block: Sequence[bytes]) -> float:
    genesis = devnet_genesis([SENDER.address], [DevnetAccount(to_hex(SENDER.address), "")], 1.0, 1)
    return import_seconds(parse_genesis(genesis), [setup, block] if setup else [block])


BUILDING_SECONDS = 3_600.0
"""A block that is measured must have all of its transactions, however busy the machine is."""

Guard = Callable[[ChainSpec, ExecutionEngine, Callable[[int], bytes | None]], AccountPermissions]
"""Permissions for a chain, made of what they are read with."""


def unguarded(
    spec: ChainSpec, engine: ExecutionEngine, ancestor_hash: Callable[[int], bytes | None]
) -> AccountPermissions:
    """Everybody may send."""
    return ALLOW_ALL_ACCOUNTS


def import_seconds(
    spec: ChainSpec,
    contents: Sequence[Sequence[bytes]],
    guard: Guard = unguarded,
    kind: EngineKind = EngineKind.PYTHON,
) -> float:
    """Seconds that importing the last of some blocks takes: seals, senders, execution, roots, commit with fsync."""
    return import_times(spec, contents, guard, kind)[0]


def import_times(
    spec: ChainSpec,
    contents: Sequence[Sequence[bytes]],
    guard: Guard = unguarded,
    kind: EngineKind = EngineKind.PYTHON,
) -> tuple[float, float]:
    """What `import_seconds` measures, and the seconds of processor time that it took."""
    blocks = _built(spec, contents)
    with tempfile.TemporaryDirectory() as directory:
        database = LmdbDatabase(Path(directory) / "database")
        engine = make_engine(spec, DatabaseNodeStore(database), kind=kind)
        permissions = guard(spec, engine, lambda number: chain.hash_at(number))
        chain = Blockchain(spec, database, engine, permissions=permissions)
        for ready in blocks[:-1]:
            chain.import_block(ready)
        started, processor_started = time.perf_counter(), time.process_time()
        chain.import_block(blocks[-1])
        seconds, processor_seconds = time.perf_counter() - started, time.process_time() - processor_started
        database.close()
    return seconds, processor_seconds


def _built(spec: ChainSpec, contents: Sequence[Sequence[bytes]]) -> list[Block]:
    """Sealed blocks with these transactions, as they would arrive."""
    database = MemoryDatabase()
    chain = Blockchain(spec, database, make_engine(spec, DatabaseNodeStore(database)))
    extra = encode_extra_data(ExtraData(bytes(32), (SENDER.address,)))
    blocks = []
    for number, content in enumerate(contents, start=1):
        offered = [_Offered(raw) for raw in content]
        block = chain.build_block(2 * number, SENDER.address, extra, offered, time.monotonic() + BUILDING_SECONDS)
        assert len(block.transactions) == len(content)
        seal = sign(committed_seal_hash(block.header), SENDER.private_key)
        blocks.append(Block.decode(with_seals(block, (seal,)).encode()))
        chain.import_block(blocks[-1])
    return blocks


if __name__ == "__main__":
    for result in measure():
        print(f"{result.name}: {result.value:.2f} {result.unit} ({result.verdict}; {result.note})")
