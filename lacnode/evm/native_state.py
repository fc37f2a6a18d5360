"""Opens the native library's block: its environment, and the callbacks through which it reads and asks."""

from typing import Any

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.base_fee import blob_base_fee
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import AncestorHash, NodeStore, SystemCallError
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.native_library import native_library
from lacnode.evm.py_evm_long_precompiles import run_precompile
from lacnode.evm.system_contracts import HISTORY_STORAGE_ADDRESS
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_KECCAK

ANCESTOR_BLOCKS = 256
"""Blocks that BLOCKHASH reaches back."""

NODE_CACHE_BYTES = 32 * 2**20
"""Bytes of trie nodes that the library keeps for one engine, and as many of analysed code."""

OVERLAY_CACHE_BYTES = 4 * 2**20
"""The same for an engine that finds more nodes than its store has. Such an engine is used for a few calls."""


class CurrentBudget:
    """The budget of the library's current execution. The library asks `check` every 10 ms."""

    def __init__(self, budget: ExecutionBudget) -> None:
        self.budget = budget

    def check(self) -> None:
        """Return if the library's current execution may go on. Raises BudgetExceededError or ExecutionCancelledError
        otherwise."""
        self.budget.check()


def make_node_cache(store: NodeStore, capacity_bytes: int) -> Any:
    """Return a cache of the library before `store`. It keeps at most `capacity_bytes` bytes of nodes, and as many of
    analysed code. NativeLibraryError if there is no library that fits. Reading a node that `store` does not have raises
    MissingNodeError."""

    def read(key: bytes) -> bytes:
        value = store.get(key)
        if value is None:
            # The library passes Python's errors on: a missing node is a damaged database, and not an empty account.
            raise MissingNodeError(f"trie node or code 0x{key.hex()} is missing")
        return value

    return native_library().NodeCache(read, capacity_bytes)


def open_native_block(
    spec: ChainSpec,
    nodes: Any,
    root: bytes,
    header: BlockHeader,
    ancestor_hash: AncestorHash,
    current: CurrentBudget,
    *,
    base_fee: int | None,
) -> Any:
    """Return the library's block on the state at `root` (32 bytes), in the environment of `header`. `nodes` is the
    cache of `make_node_cache`. `base_fee` is in wei per gas, None for 0, and takes the place of the header's. The calls
    that begin a block are not made."""
    fork = spec.forks.fork_at(header.number, header.timestamp)
    beneficiary = spec.ibft.parameters_at(header.number).mining_beneficiary

    # The library asks for any number that a contract names. The bounds are those of the EVM.
    def hash_of(number: int) -> bytes | None:
        return ancestor_hash(number) if max(0, header.number - ANCESTOR_BLOCKS) <= number < header.number else None

    # The library cannot interrupt a precompile of its own. Inputs that may run long come here, where Python's are
    # cut into steps.
    def long_precompile(number: int, data: bytes, gas: int) -> tuple[int, bytes] | None:
        return run_precompile(fork, number, data, gas, current.budget)

    return native_library().Block(
        nodes,
        root,
        fork=int(fork),
        chain_id=spec.chain_id,
        number=header.number,
        timestamp=header.timestamp,
        coinbase=header.coinbase if beneficiary is None else beneficiary,
        gas_limit=header.gas_limit,
        base_fee=base_fee or 0,
        difficulty=header.difficulty.to_bytes(32),
        mix_hash=header.mix_hash,
        blob_base_fee=blob_base_fee(spec, header),
        max_blobs=spec.blob_schedule_of(fork).max,
        code_size_limit=spec.max_contract_bytes_at(header.number),
        ancestor_hash=hash_of,
        long_precompile=long_precompile,
    )


def store_parent_hash_natively(spec: ChainSpec, native: Any, header: BlockHeader, current: CurrentBudget) -> None:
    """Store the parent's hash in the history contract (EIP-2935). Nothing happens before Prague, and where the network
    has no such contract. SystemCallError if the call fails."""
    if spec.forks.fork_at(header.number, header.timestamp) < Fork.PRAGUE:
        return
    # The genesis decides whether the contract is there. Besu makes no call where it is not.
    account = native.account(HISTORY_STORAGE_ADDRESS)
    if account is None or account[2] == EMPTY_KECCAK:
        return
    if not native.system_call(HISTORY_STORAGE_ADDRESS, header.parent_hash, current.check):
        raise SystemCallError(f"the system call to 0x{HISTORY_STORAGE_ADDRESS.hex()} failed")
