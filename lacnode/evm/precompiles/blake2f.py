"""BLAKE2 F (address 9, EIP-152): the compression function of BLAKE2b, with a number of rounds that the caller pays for.

The library does 50 million rounds a second, but keeps Python's lock and cannot be stopped. What takes longer than some
milliseconds runs in a process of its own, which is killed when the budget ends. Must not price the work.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import blake2b

from lacnode.evm.budget import CHECK_INTERVAL_SECONDS

INPUT_BYTES = 213
"""Bytes: rounds, state, message block, two counters, flag."""

MAX_IN_PROCESS_ROUNDS = 500_000
"""Rounds up to which the work is done in this process: 10 ms, less than what it takes to start another."""

_CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from blake2b import compress
data = sys.stdin.buffer.read()
words = [int.from_bytes(data[at:at + 8], "little") for at in range(4, 212, 8)]
sys.stdout.buffer.write(
    compress(int.from_bytes(data[:4]), tuple(words[:8]), tuple(words[8:24]), tuple(words[24:]), data[212] == 1)
)
"""
_LIBRARY = str(Path(blake2b.__file__).parents[1])


def blake2f(data: bytes, check: Callable[[], None]) -> bytes:
    """The 64 bytes of output for `data`, a valid input. `check` is called every now and then and may raise."""
    check()
    if int.from_bytes(data[:4]) <= MAX_IN_PROCESS_ROUNDS:
        return _compress(data)
    return _compress_apart(data, check) or _compress(data)


def _compress(data: bytes) -> bytes:
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(4, 212, 8)]
    return bytes(
        blake2b.compress(
            int.from_bytes(data[:4]), tuple(words[:8]), tuple(words[8:24]), tuple(words[24:]), data[212] == 1
        )
    )


def _compress_apart(data: bytes, check: Callable[[], None]) -> bytes | None:
    """The same in another process; None if that process did not live to say it."""
    # A session of its own: what a terminal sends to this process' group is not for it.
    command = [sys.executable, "-I", "-S", "-c", _CHILD, _LIBRARY]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as child:
        pending: bytes | None = data
        try:
            while True:
                try:
                    output, _ = child.communicate(pending, timeout=CHECK_INTERVAL_SECONDS / 2)
                    break
                except subprocess.TimeoutExpired:
                    pending = None
                    check()
        except BaseException:
            child.kill()
            raise
    return output if child.returncode == 0 and len(output) == 64 else None
