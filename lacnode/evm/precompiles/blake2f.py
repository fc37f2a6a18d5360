"""BLAKE2 F (address 9, EIP-152): the compression function of BLAKE2b, with a number of rounds that the caller pays for.

The library does 50 million rounds a second, but keeps Python's lock and cannot be stopped. What takes longer than some
milliseconds runs in a process of its own, which is killed when the budget ends. Must not price the work.
"""

from collections.abc import Callable

import blake2b

from lacnode.evm.precompiles.apart import compute_in_child_process

INPUT_BYTES, OUTPUT_BYTES = 213, 64
"""Bytes. The input is rounds, state, message block, two counters, flag."""

MAX_IN_PROCESS_ROUNDS = 500_000
"""Rounds up to which the work is done in this process: 10 ms, less than what it takes to start another."""

_CHILD = """
from blake2b import compress
data = sys.stdin.buffer.read()
words = [int.from_bytes(data[at:at + 8], "little") for at in range(4, 212, 8)]
sys.stdout.buffer.write(
    compress(int.from_bytes(data[:4]), tuple(words[:8]), tuple(words[8:24]), tuple(words[24:]), data[212] == 1)
)
"""


def blake2f(data: bytes, check: Callable[[], None]) -> bytes:
    """Return the 64 bytes of output for `data`, a valid input of `INPUT_BYTES`. `check` is called several times a
    second and may raise."""
    check()
    if int.from_bytes(data[:4]) <= MAX_IN_PROCESS_ROUNDS:
        return _compress(data)
    output = compute_in_child_process(_CHILD, blake2b, data, check)
    # The process may fail to start, or die. The result must not depend on that, so the work is done here then.
    return output if output is not None and len(output) == OUTPUT_BYTES else _compress(data)


def _compress(data: bytes) -> bytes:
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(4, 212, 8)]
    return bytes(
        blake2b.compress(
            int.from_bytes(data[:4]), tuple(words[:8]), tuple(words[8:24]), tuple(words[24:]), data[212] == 1
        )
    )
