"""Init codes that do not end before their gas does, each heavy in another way."""

from lacnode.devnet.devnet_genesis import GAS_LIMIT

ENDLESS_CALL = bytes.fromhex("5b600056")
"""JUMPDEST, PUSH1 0, JUMP."""

JUMPDESTS = b"\x5b" * 20_000 + bytes.fromhex("600056")
"""Twenty thousand JUMPDESTs and a jump back to the first."""

MULMODS = (
    bytes.fromhex("5b") + bytes.fromhex("6801000000000000000760001960001909" + "50") * 400 + bytes.fromhex("600056")
)
"""MULMOD of the largest words, in a loop."""

BLAKE2_ROUNDS = 3_000_000


def push(value: int, size: int) -> bytes:
    """PUSHn of `value`."""
    return bytes([0x5F + size]) + value.to_bytes(size)


def precompile_loop(address: int, memory: bytes, gas: int) -> bytes:
    """Write `memory` once, then call a precompile with it for ever, `gas` each time."""
    stores = b"".join(
        push(int.from_bytes(memory[offset : offset + 32].ljust(32, b"\0")), 32) + push(offset, 2) + b"\x52"
        for offset in range(0, len(memory), 32)
    )
    loop = len(stores)
    call = push(64, 2) + push(0, 2) + push(len(memory), 2) + push(0, 2) + push(address, 1) + push(gas, 4)
    return stores + b"\x5b" + call + b"\xfa\x50" + push(loop, 3) + b"\x56"


def blake2(rounds: int = BLAKE2_ROUNDS) -> bytes:
    """The input of precompile 9: rounds, state, message, counters, last block."""
    return rounds.to_bytes(4) + bytes(64) + bytes(128) + bytes(16) + b"\x01"


GENERATOR = (1).to_bytes(32) + (2).to_bytes(32)
"""The first generator of alt_bn128."""

SECOND_GENERATOR = bytes.fromhex(
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"
    "1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"
    "12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
)
"""The second generator of alt_bn128, as precompile 8 reads it."""

BLAKE2_LOOP = precompile_loop(9, blake2(), BLAKE2_ROUNDS + 1)
MULTIPLICATIONS = precompile_loop(7, GENERATOR + b"\xff" * 32, 6_001)
ADDITIONS = precompile_loop(6, GENERATOR + GENERATOR, 151)
PAIRINGS = precompile_loop(8, (GENERATOR + SECOND_GENERATOR) * 2, 113_001)
EXPONENTIATIONS = precompile_loop(5, (256).to_bytes(32) * 3 + b"\xff" * 768, GAS_LIMIT // 8)

SELF_CALLS = bytes.fromhex("5b60006000600060006000305af150600056")
"""Calls itself with the gas that is left: 1,024 calls deep once it is a contract's code."""


def deploying(code: bytes) -> bytes:
    """Init code that makes a contract with `code` (fewer than 256 bytes)."""
    return push(len(code), 1) + b"\x80" + push(11, 1) + bytes.fromhex("6000396000f3") + code


HEAVY: dict[str, bytes] = {
    "JUMPDEST": JUMPDESTS,
    "MULMOD": MULMODS,
    "blake2F": BLAKE2_LOOP,
    "ecMul": MULTIPLICATIONS,
    "ecAdd": ADDITIONS,
    "pairing": PAIRINGS,
    "MODEXP": EXPONENTIATIONS,
}
"""By the name of what takes the time."""
