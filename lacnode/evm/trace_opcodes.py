"""Facts about instructions that traces need: names, items that they produce, memory and accounts that they touch."""

from collections.abc import Callable, Mapping
from typing import Any

STOP, SSTORE, SLOAD, RETURN, REVERT, SELFDESTRUCT, CALLDATALOAD = 0x00, 0x55, 0x54, 0xF3, 0xFD, 0xFF, 0x35

CALLS = {0xF1: "CALL", 0xF2: "CALLCODE", 0xF4: "DELEGATECALL", 0xFA: "STATICCALL"}
CREATES = {0xF0: "CREATE", 0xF5: "CREATE2"}

CALL_VALUE_OPCODES = (0xF1, 0xF2)
"""Calls that may carry a value of their own, and so have an item more on the stack."""

CALL_STEPS = frozenset({STOP, RETURN, REVERT, SELFDESTRUCT, CALLDATALOAD, *CALLS, *CREATES})
"""Instructions by which calls begin and end, and CALLDATALOAD, after which Besu shows another value of a call."""

_PRODUCING = frozenset(
    {
        *range(0x01, 0x0C), *range(0x10, 0x1E), 0x20, *range(0x30, 0x37), 0x38, 0x3A, 0x3B, 0x3D, 0x3F, *range(0x40, 0x4B),
        0x51, 0x54, 0x58, 0x59, 0x5A, 0x5C, *range(0x5F, 0x80), *CALLS, *CREATES,
    }
)  # fmt: skip

_RENAMED = {"SHA3": "KECCAK256"}


def opcode_name(opcode: int, opcodes: Mapping[int, Any]) -> str:
    """Return the name of an instruction among py-evm's `opcodes`, such as `PUSH1`. `INVALID` if it is none of them."""
    found = opcodes.get(opcode)
    if found is None:
        return "INVALID"
    name: str = getattr(found, "mnemonic", None) or found.__wrapped__.mnemonic
    return _RENAMED.get(name, name)


def count_produced_items(opcode: int) -> int:
    """Return the number of items at the top of the stack that an instruction has written, 0 if it writes none. For DUP
    and SWAP these are all items that it looks at, as in Besu."""
    if 0x80 <= opcode <= 0x8F:
        return opcode - 0x80 + 2
    if 0x90 <= opcode <= 0x9F:
        return opcode - 0x90 + 2
    return 1 if opcode in _PRODUCING else 0


def _number(item: int | bytes) -> int:
    return item if isinstance(item, int) else int.from_bytes(item)


def stack_word(stack: list[int | bytes], position: int) -> int:
    """Return the item at `position` from the top, which is 1, as a number. 0 if there is none. The top comes last in
    `stack`."""
    return _number(stack[-position]) if len(stack) >= position else 0


def address_of_stack_item(item: int | bytes) -> bytes:
    """Return the address (20 bytes) in an item of the stack: its lowest 160 bits."""
    return (_number(item) % 2**160).to_bytes(20)


def _word_at(stack: list[int | bytes], memory: Any) -> tuple[int, bytes] | None:
    offset = _number(stack[-1])
    return offset, memory.read_bytes(offset, 32)


def _byte_at(stack: list[int | bytes], memory: Any) -> tuple[int, bytes] | None:
    offset = _number(stack[-1])
    return offset, memory.read_bytes(offset, 1)


def _copied(stack: list[int | bytes], memory: Any) -> tuple[int, bytes] | None:
    offset, size = _number(stack[-1]), _number(stack[-3])
    return (offset, memory.read_bytes(offset, size)) if size else None


MEMORY_CHANGES: dict[int, Callable[[list[int | bytes], Any], tuple[int, bytes] | None]] = {
    0x51: _word_at, 0x52: _word_at, 0x53: _byte_at, 0x37: _copied, 0x39: _copied, 0x3E: _copied, 0x5E: _copied,
}  # fmt: skip
"""For each instruction that Besu shows with a piece of memory, how to find the piece: from the stack before the
instruction and the memory after it."""

_ACCOUNT_READS = {0x31: 1, 0x3B: 1, 0x3C: 1, 0x3F: 1, SELFDESTRUCT: 1, 0xF1: 2, 0xF2: 2, 0xF4: 2, 0xFA: 2}


def find_account_read(opcode: int, own: bytes, stack: list[int | bytes]) -> tuple[bytes, int | None] | None:
    """Return which account or slot the instruction `opcode` reads: (address of 20 bytes, None) for an account, and
    (`own`, slot) for SLOAD and SSTORE, where `own` is the account that runs. None for an instruction that reads no
    account, or if the stack is too short. `stack` is the one before the instruction. Its top comes last."""
    if opcode in (SLOAD, SSTORE):
        return (own, _number(stack[-1])) if stack else None
    position = _ACCOUNT_READS.get(opcode)
    if position is None or len(stack) < position:
        return None
    return address_of_stack_item(stack[-position]), None
