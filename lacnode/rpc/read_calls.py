"""Calls that only read the chain. Any process that can read the database can answer them.

A method is marked in its registry entry: `Method("eth_call", "ETH", run_in_reader(eth_call))`. Its function gets a
`ReadContext`. It runs in this process for a short trial, or in a reader process (`rpc.readers`) for as long as a call may
take. Such a function must not use any other part of the node.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lacnode.chain.chain_store import TransactionLocation
from lacnode.chain.head import Head
from lacnode.chain.log_filter import LogFilter
from lacnode.chain.receipt_record import LogWithMetadata, ReceiptRecord
from lacnode.chain.validator_sets import ValidatorSets
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import CallRequest, CallResult, OpenBlock, StateView
from lacnode.evm.tracing_executor import TracingExecutor
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.rpc.errors import timeout
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.rpc.settings import ApiSettings
from lacnode.storage.database import Database

Params = Sequence[object]


class ReadableChain(Protocol):
    """The chain for read-only methods: a `Blockchain`, or the `ReadOnlyChain` of a reader process. Hashes have 32
    bytes. StorageError if the database cannot be read."""

    @property
    def head(self) -> Head:
        """The block that a call about the latest block means. In a reader it does not change during a call."""

    @property
    def spec(self) -> ChainSpec:
        """The parsed genesis file: forks, chain id and consensus parameters."""

    @property
    def database(self) -> Database:
        """The database of the chain. In a reader process it cannot be written."""

    def hash_at(self, number: int) -> bytes | None:
        """The on-chain hash (32 bytes) of block `number`. None above the head."""

    def block_of(self, hash_: bytes) -> Block | None:
        """The decoded block with this hash (32 bytes). None for an unknown hash."""

    def receipt_records_of(self, hash_: bytes) -> tuple[ReceiptRecord, ...] | None:
        """One record for each transaction of the block with this hash (32 bytes), in order. None for an unknown hash."""

    @property
    def protocols(self) -> ProtocolSchedule:
        """The consensus protocols of the chain, by the height of a block."""

    @property
    def validator_sets(self) -> ValidatorSets:
        """The validators after each block, by votes in headers or by a contract."""

    def validators_after(self, header: BlockHeader) -> tuple[bytes, ...]:
        """The validators (20-byte addresses) of the block after `header`, ascending. Empty, with a line in the log, if
        a contract has to name them and names no usable ones."""

    def tracing_executor(self, budget: ExecutionBudget) -> TracingExecutor:
        """An executor that traces blocks and calls of this chain for one RPC call, within the time of `budget`."""

    def open_block_for_private_execution(self, header: BlockHeader) -> OpenBlock:
        """An open block on the state after `header`. It has the number and the other values of the block of `header`
        itself, not those of the next block. It is not stored. MissingNodeError, when it executes, if the state is not
        kept."""

    def header_at(self, number: int) -> BlockHeader | None:
        """The header of block `number`. None above the head."""

    def header_of(self, hash_: bytes) -> BlockHeader | None:
        """The header of the block with this hash (32 bytes). None for an unknown hash."""

    def state_at(self, header: BlockHeader) -> StateView:
        """The accounts after the block of `header`. MissingNodeError, at the first question, if the state is not kept."""

    def call(self, header: BlockHeader, call: CallRequest) -> CallResult:
        """The result of `call` on the state after the block of `header`. A call that reverts has a result too. Nothing
        is stored.

        TransactionRejectedError if the call cannot begin, OverrideError if its overrides cannot be applied,
        CallLimitExceededError after its deadline, MissingNodeError if the state is not kept.
        """

    def logs(
        self,
        from_number: int,
        to_number: int,
        wanted: LogFilter,
        check: Callable[[], None],
        check_block: Callable[[bytes], None] = lambda hash_: None,
    ) -> Iterator[LogWithMetadata]:
        """The matching logs of the blocks from `from_number` to `to_number`, both included, in order. `check` is called
        for every block with logs, and `check_block` with the hash (32 bytes) of each block that is decoded. Their
        errors end the search. The iterator reads while it is used: exhaust or close it."""

    def total_difficulty_of(self, header: BlockHeader) -> int:
        """The sum of the difficulties of all blocks up to `header`, itself included."""

    def transaction_location(self, transaction_hash: bytes) -> TransactionLocation | None:
        """The block and the index of the transaction with this hash (32 bytes). None for an unknown hash, and for a
        transaction of the pool."""

    def logs_of_block(
        self, hash_: bytes, wanted: LogFilter, check_block: Callable[[bytes], None] = lambda hash_: None
    ) -> tuple[LogWithMetadata, ...]:
        """The matching logs of the block with this hash (32 bytes), in order. Empty for an unknown hash. `check_block`
        is called with the hash before the block is decoded. Its errors reach the caller."""

    def body_and_receipts_length_of(self, hash_: bytes) -> int:
        """The bytes of the stored body and receipts of the block with this hash (32 bytes). 0 for an unknown hash."""


class HasChain(Protocol):
    """An object with a chain, by which parameters are looked up: a `ReadContext` or the `RpcServices`."""

    @property
    def chain(self) -> ReadableChain:
        """The chain that the call reads. For a `ReadContext` it may be that of a reader process."""


@dataclass(frozen=True, slots=True)
class ReadContext:
    """The objects that a read-only method may use. Hashes have 32 bytes.

    `deadline` is in seconds of the monotonic clock. The method raises CallTimeoutError after it (`check_time`).
    `recent` is a cache of decoded blocks, or None. `max_block_bytes` is for a short trial in the process of the node
    (`short_read_trials`): a longer block ends it (`check_block_size`). None is for a reader, which decodes every block.
    """

    chain: ReadableChain
    settings: ApiSettings
    deadline: float
    recent: RecentBlocks | None = None
    max_block_bytes: int | None = None

    def check_block_size(self, hash_: bytes) -> None:
        """Check that this call may decode the block with this hash (32 bytes). CallTimeoutError if the stored block is
        longer than `max_block_bytes`: its decoding cannot be stopped at the deadline."""
        if self.max_block_bytes is not None and self.chain.body_and_receipts_length_of(hash_) > self.max_block_bytes:
            raise timeout()

    def block_of(self, hash_: bytes) -> Block | None:
        """The block with this hash (32 bytes), from the cache if it is there. None for an unknown hash. Its size is not
        checked: `check_block_size` does that."""
        return self.chain.block_of(hash_) if self.recent is None else self.recent.load_block(hash_)

    def receipt_records_of(self, hash_: bytes) -> tuple[ReceiptRecord, ...] | None:
        """One record for each transaction of the block with this hash (32 bytes), in order, from the cache if they are
        there. None for an unknown hash."""
        return self.chain.receipt_records_of(hash_) if self.recent is None else self.recent.load_receipt_records(hash_)

    def total_difficulty_of(self, header: BlockHeader) -> int:
        """The sum of the difficulties of all blocks up to `header`, itself included."""
        return self.chain.total_difficulty_of(header)


def check_time(reading: ReadContext) -> None:
    """Check the deadline of `reading`. CallTimeoutError if it has passed."""
    if time.monotonic() > reading.deadline:
        raise timeout()


ReadHandler = Callable[[ReadContext, Params], object]
"""A function at the top level of a module, so that `pickle` can name it to another process. May raise RpcError."""


@dataclass(frozen=True, slots=True)
class ReadCall:
    """The reading part of a method's call, which needs nothing but a `ReadContext`. Making the object reads nothing.
    `params` must be values that `pickle` can write. `is_long` is True if the call takes too long for a short trial in
    the process of the node. Such a call goes to a reader at once."""

    handler: ReadHandler
    params: Params
    is_long: bool = False

    def answer(self, reading: ReadContext) -> object:
        """Run the call in this thread and return its result. RpcError, or another error, as the handler raises it."""
        return self.handler(reading, self.params)


def run_in_reader(
    handler: ReadHandler, check: Callable[[HasChain, Params], object] | None = None, *, is_long: bool = False
) -> Callable[[HasChain, Params], ReadCall]:
    """Return a method's handler that leaves its calls to `handler`: it returns a `ReadCall`, which a short trial or a
    reader answers later. `handler` must stand at the top level of a module.

    `check` raises RpcError for parameters that are refused anyway. Otherwise megabytes of such parameters would take
    memory here while they wait for a reader. `is_long` is that of `ReadCall`.
    """

    # The handler itself must stay a function at the top level, so it is wrapped here and not decorated: `pickle` finds a
    # function by its module and name.
    def leave_to_reader(services: HasChain, params: Params) -> ReadCall:
        if check is not None:
            check(services, params)
        return ReadCall(handler, params, is_long)

    return leave_to_reader
