"""A contract that names validators, as small as possible, and genesis accounts with it.

Slot 0 has the number of validators, and the slots from 1 on have their addresses. A call of `getValidators()` (four bytes of
input) returns them. A call with 64 bytes stores the second word in the slot that the first word names.
"""

from collections.abc import Sequence

from lacnode.primitives.hexadecimal import to_hex

LIST_ADDRESS = b"\x88" * 20

LIST_CODE = bytes.fromhex(
    # if calldatasize == 4 goto list; storage[input[0]] = input[1]; stop
    "36600414600f576020356000355500"
    # list: memory[0] = 32; n = memory[32] = storage[0]; i = n
    "5b60206000526000548060205280"
    # loop: if i == 0 goto done; memory[32 + 32 i] = storage[i]; i -= 1; goto loop
    "5b80156034578054816020026020015260019003601d56"
    # done: return memory[0 : 64 + 32 n]
    "5b506020026040016000f3"
)
REVERT_CODE = bytes.fromhex("60006000fd")
EMPTY_ANSWER_CODE = bytes.fromhex("00")
INVALID_CODE = b"\xfe"
"""Uses up all its gas, as a loop without an end does."""


def list_account(validators: Sequence[bytes], code: bytes = LIST_CODE) -> dict[str, object]:
    """The account of `alloc` that names `validators`."""
    slots = {0: len(validators).to_bytes(32)} | dict(enumerate(validators, start=1))
    storage = {to_hex(slot.to_bytes(32)): to_hex(value.rjust(32, b"\0")) for slot, value in slots.items()}
    return {"balance": "0x0", "code": to_hex(code), "storage": storage}


def setting(slot: int, value: bytes) -> bytes:
    """The input that stores `value` in `slot`."""
    return slot.to_bytes(32) + value.rjust(32, b"\0")
