"""A chain's states without a chain: a genesis, an engine over it, and blocks executed one on another."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eth_account import Account

from lacnode.chainspec.genesis import parse_genesis
from lacnode.chainspec.spec import ChainSpec
from lacnode.crypto.node_key import NodeKey
from lacnode.evm.engine import CallRequest, CallResult, ExecutedBlock, OpenBlock, StateView
from lacnode.evm.tracing_executor import TracingEngine
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.transaction import Transaction
from tests.support.engines import engine

CHAIN_ID = 7
RICH, POOR = NodeKey.from_private_key(keccak256(b"rich")), NodeKey.from_private_key(keccak256(b"poor"))
COINBASE = b"\xcb" * 20
GAS_LIMIT = 100_000_000
FRIEND = b"\xfe" * 20


def signed(key: NodeKey, nonce: int, **fields: Any) -> Transaction:
    """A transaction of a million gas, free unless told otherwise."""
    given: dict[str, Any] = {"nonce": nonce, "gas": 1_000_000, "value": 0, "data": b"", "chainId": CHAIN_ID, **fields}
    if "maxFeePerGas" not in given:
        given.setdefault("gasPrice", 0)
    return Transaction.decode(bytes(Account.sign_transaction(given, key.private_key).raw_transaction))


def push(value: int | bytes, size: int = 32) -> bytes:
    """The instruction that puts `value` on the stack."""
    data = value if isinstance(value, bytes) else value.to_bytes(size)
    return bytes([0x5F + len(data)]) + data


def returned(*instructions: bytes) -> bytes:
    """Code that returns what `instructions` leave on the stack."""
    return b"".join(instructions) + bytes.fromhex("60005260206000f3")


def deploying(code: bytes) -> bytes:
    """Init code that makes a contract with `code`."""
    return push(len(code), 4) + b"\x80" + push(17, 4) + bytes.fromhex("6000396000f3") + code


class Network:
    """`accounts` is a genesis' alloc in bytes; other arguments go to `config`."""

    def __init__(
        self, accounts: dict[bytes, dict[str, Any]] | None = None, ibft: dict[str, Any] | None = None, **config: Any
    ) -> None:
        alloc = {RICH.address: {"balance": hex(10**24)}, **(accounts or {})}
        self.spec: ChainSpec = parse_genesis(
            {
                "config": {"chainId": CHAIN_ID, "ibft2": ibft or {}, **(config or {"berlinBlock": 0})},
                "difficulty": "0x1",
                "gasLimit": hex(GAS_LIMIT),
                "alloc": {address.hex(): fields for address, fields in alloc.items()},
            }
        )
        self.store: dict[bytes, bytes] = {}
        self.engine: TracingEngine = engine(self.spec, self.store)
        root, nodes = self.engine.genesis_state()
        self.store.update(nodes)
        self.header = self.spec.genesis.header(root)

    def next_header(self, **changes: Any) -> BlockHeader:
        number = changes.get("number", self.header.number + 1)
        return replace(self.header, **{"number": number, "timestamp": number, "coinbase": COINBASE, **changes})

    def open(self, **changes: Any) -> OpenBlock:
        return self.engine.open_block(self.header.state_root, self.next_header(**changes), hash_of)

    def execute(self, *transactions: Transaction, **changes: Any) -> ExecutedBlock:
        """Execute a block on the last one and keep its state."""
        header = self.next_header(**changes)
        executed = self.engine.execute(self.header.state_root, header, transactions, hash_of)
        self.store.update(executed.nodes)
        self.header = replace(header, state_root=executed.state_root, gas_used=executed.gas_used)
        return executed

    def call(self, **request: Any) -> CallResult:
        return self.engine.call(self.header.state_root, self.header, CallRequest(**request), hash_of)

    @property
    def state(self) -> StateView:
        return self.engine.accounts(self.header.state_root)


def hash_of(number: int) -> bytes:
    """The hash of a block that nobody made."""
    return keccak256(b"block %d" % number)


def statuses(receipts: Sequence[Receipt]) -> list[int | None]:
    return [receipt.status for receipt in receipts]
