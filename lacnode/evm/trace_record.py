"""What an execution did, as data: its steps, its calls and its changes of the state.

The forms in which clients see it are made elsewhere. This file must not know py-evm or JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from lacnode.evm.budget import SizeExceededError
from lacnode.primitives.keccak import EMPTY_KECCAK

MAX_TRACE_STEPS = 1_000_000
"""Steps that the trace of one RPC call may record."""

MAX_TRACE_BYTES = 128 * 2**20
"""Bytes of the stacks, memories, inputs and outputs that the trace of one RPC call may record."""

STEP_BYTES = 600
"""About the bytes that a recorded step takes besides its stack and memory."""

STACK_ITEM_BYTES = 40
"""About the bytes that an item of a recorded stack takes."""


class TraceTooLargeError(SizeExceededError):
    """The trace has more steps or bytes than the trace of one RPC call may have."""


class TraceAllowance:
    """The steps and bytes that the trace of one RPC call may still record, over all its transactions. It counts down."""

    __slots__ = ("bytes_left", "steps_left")

    def __init__(self, max_steps: int = MAX_TRACE_STEPS, max_bytes: int = MAX_TRACE_BYTES) -> None:
        self.steps_left = max_steps
        self.bytes_left = max_bytes

    def count_step(self, size_bytes: int) -> None:
        """Take one step of `size_bytes` from the allowance. TraceTooLargeError if no step or too few bytes are left."""
        self.steps_left -= 1
        if self.steps_left < 0:
            raise TraceTooLargeError("the trace has too many steps")
        self.count_bytes(size_bytes)

    def count_bytes(self, size_bytes: int) -> None:
        """Take `size_bytes` from the allowance. TraceTooLargeError if fewer are left."""
        self.bytes_left -= size_bytes
        if self.bytes_left < 0:
            raise TraceTooLargeError("the trace has too many bytes")


class HaltReason(Enum):
    """Why a call ended with an error that is no REVERT. Names and descriptions are Besu's `ExceptionalHaltReason`."""

    INSUFFICIENT_GAS = "Out of gas"
    INSUFFICIENT_STACK_ITEMS = "Stack underflow"
    INVALID_JUMP_DESTINATION = "Bad jump destination"
    INVALID_OPERATION = "Bad instruction"
    INVALID_RETURN_DATA_BUFFER_ACCESS = "Out of bounds"
    TOO_MANY_STACK_ITEMS = "Out of stack"
    ILLEGAL_STATE_CHANGE = "Illegal state change"
    CODE_TOO_LARGE = "Code is too large"
    INVALID_CODE = "Code is invalid"
    PRECOMPILE_ERROR = "Precompile error"


class TraceDetail(Enum):
    """How much of an execution is recorded. Each value records all that the values before it do."""

    STATE = 1
    """The changes of the state."""

    CALLS = 2
    """Also the calls, and the steps with which calls begin and end."""

    STEPS = 3
    """Also every step with its stack."""


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """The parts of an execution to record. `memory` records the memory after every recorded step, and `memory_before`
    the memory before it. `reads` records the accounts and slots that were read."""

    detail: TraceDetail = TraceDetail.STATE
    memory: bool = False
    memory_before: bool = False
    reads: bool = False


class TracedStep:
    """One instruction as it was executed.

    `stack` is the stack before it, its top at the end. `produced` are the items that it produced, the top at the end.
    `memory` is the memory after it, or before it with the option for that (None if it is not recorded), `storage` the
    slots that the call has written so far. Where the step begins a call, all values are those at the moment before the
    call's first instruction, `call` is the call, and `child_gas` is its gas. A call that is not made has no `call`, and
    `child_gas` is then the gas that is left.

    `gas` is what is left before the step, and `cost` the gas without that of the call. `depth` is 0 in the
    transaction's own call. `halt` is None for a step that did not fail. `code` is the code that runs next: the call's
    if there is one. `updated_memory` (offset, bytes) is the last write or read of memory, by this step or by the end of
    the call of the step before. `updated_storage` is the slot and the value that SSTORE wrote. `is_virtual` marks the
    end of code without an instruction. `swept_wei` is the balance in wei that SELFDESTRUCT moves. `precompile_gas` is
    the cost of the precompile that the step called.

    `recipient` (20 bytes, whose storage is used), `value` (wei) and `input` are those of the call that the step belongs
    to. `refund` is the refund of the transaction so far, in gas units. `memory_size` is the length of the memory in bytes
    before the step. `return_data` is what the last inner call returned, empty where the step begins a call. `output` is
    what the call that the step belongs to has returned so far. `revert_reason` is the output of REVERT, None for every
    other instruction.
    """

    __slots__ = (
        "call", "child_gas", "code", "cost", "depth", "gas", "halt", "input", "is_virtual", "memory", "memory_size", "name",
        "opcode", "output", "pc", "precompile_gas", "produced", "recipient", "refund", "return_data", "revert_reason",
        "stack", "storage", "swept_wei", "updated_memory", "updated_storage", "value",
    )  # fmt: skip

    def __init__(self, pc: int, opcode: int, name: str, gas: int, depth: int) -> None:
        self.pc, self.opcode, self.name, self.gas, self.depth = pc, opcode, name, gas, depth
        self.cost = self.refund = self.value = self.memory_size = 0
        self.halt: HaltReason | None = None
        self.recipient = self.input = self.output = self.code = self.return_data = b""
        self.stack: list[int | bytes] = []
        self.produced: list[int | bytes] = []
        self.memory: bytes | None = None
        self.storage: dict[int, int] = {}
        self.revert_reason: bytes | None = None
        self.is_virtual = False
        self.swept_wei = 0
        self.call: TracedCall | None = None
        self.child_gas: int | None = None
        self.precompile_gas: int | None = None
        self.updated_memory: tuple[int, bytes] | None = None
        self.updated_storage: tuple[int, int] | None = None

    @property
    def is_call(self) -> bool:
        """Return whether the instruction is CALL, CALLCODE, DELEGATECALL or STATICCALL. The call need not be made."""
        return self.opcode in (0xF1, 0xF2, 0xF4, 0xFA)

    @property
    def enters_call(self) -> bool:
        """Return whether instructions of another call follow this step. False for a call of a precompile, and one that
        is not made."""
        return self.call is not None and not self.call.is_precompile


@dataclass(slots=True)
class TracedLog:
    """A log of a call: address (20 bytes), topics (32 bytes each), data. `position` is the number of calls of the same
    call that ended before it."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    position: int


@dataclass(slots=True)
class TracedCall:
    """A call and the calls that it made, in order. `to` is the account whose code runs, or the created account.
    SELFDESTRUCT counts as a call: it moves a balance to `to`, the beneficiary. The value is in wei.

    `kind` is the instruction's name. `input` is the data, or the init code of a creation. `error` is Besu's reason for
    its end, None on success and after REVERT. `is_reverted`: it ended with REVERT. `gas` is what the call got, and
    `gas_used` is before refunds. `is_precompile`: the code is a precompile. `depth` is 0 for the transaction's own
    call.
    """

    kind: str
    sender: bytes
    to: bytes
    value: int
    gas: int
    input: bytes
    depth: int = 0
    gas_used: int = 0
    output: bytes = b""
    error: HaltReason | None = None
    is_reverted: bool = False
    is_precompile: bool = False
    logs: list[TracedLog] = field(default_factory=list)
    calls: list["TracedCall"] = field(default_factory=list)

    @property
    def is_success(self) -> bool:
        """Return whether it neither halted nor reverted."""
        return self.error is None and not self.is_reverted


@dataclass(frozen=True, slots=True)
class AccountValues:
    """The values of an account that exists. `balance` is in wei. `code_hash` has 32 bytes."""

    nonce: int = 0
    balance: int = 0
    code: bytes = b""
    code_hash: bytes = EMPTY_KECCAK


@dataclass(frozen=True, slots=True)
class AccountChange:
    """An account before and after a transaction. None where it does not exist. `storage` has, by slot, the values
    before and after of the slots that were written, or read where that is recorded."""

    before: AccountValues | None
    after: AccountValues | None
    storage: dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class TracedTransaction:
    """A transaction or a call, as it was executed.

    `hash` (32 bytes) is None for a call. `to` is None for a creation, and `created` is then the new account's address,
    otherwise None. `value` is in wei. `gas_used` is after refunds. `output` is empty if it failed, and `revert_reason`
    is the output of REVERT, None without one. `call` is None if calls were not recorded, and `steps` are empty then.
    `changes` are in the order of their addresses. For an impersonated call of a devnet, `sender`, `to`, `value` and
    `data` are those of that call.
    """

    hash: bytes | None
    sender: bytes
    to: bytes | None
    nonce: int
    value: int
    gas_limit: int
    data: bytes
    created: bytes | None
    gas_used: int
    is_success: bool
    output: bytes
    revert_reason: bytes | None
    call: TracedCall | None
    steps: Sequence[TracedStep]
    changes: dict[bytes, AccountChange]

    @property
    def gas_returned(self) -> int:
        """The gas that the sender got back: the gas limit without `gas_used`. Refunds are included."""
        return self.gas_limit - self.gas_used
