"""MODEXP (address 5, EIP-198): a power modulo a number of up to hundreds of kilobytes, in steps.

GMP multiplies large numbers, without Python's lock. The exponent is taken a piece at a time, so that a check of the budget
comes after every few milliseconds. Where one multiplication alone takes long, a process of its own does all of the work,
and is killed when the budget ends. The lengths in the input may be huge while the input itself is short: what is missing
stands for zeros. Must not price the work.
"""

from collections.abc import Callable, Iterator

import gmpy2

from lacnode.evm.precompiles.apart import compute_in_child_process

MODEXP_HEADER_BYTES = 96
"""Bytes of the three lengths before the numbers."""

STEP_WORK, WORK_PER_BIT = 20_000_000, 200
"""Work of one step: for each bit of the exponent the square of the modulus' 64-bit words, and some more. 20 ms, or one
multiplication where that takes longer (60 ms for the 334 kB that 350 Mgas buy)."""

NUMBER_BYTES_HERE = 400_000
"""Length of modulus or base up to which the work is done in this process. A multiplication takes 75 ms there, and half a
second for two megabytes."""

_CHILD = """
import sys
import gmpy2
data = sys.stdin.buffer.read()
sizes = [int.from_bytes(data[32 * index:32 * index + 32]) for index in range(3)]
numbers, at = [], 96
for size in sizes:
    numbers.append(gmpy2.mpz(int.from_bytes(data[at:at + size])))
    at += size
sys.stdout.buffer.write(int(gmpy2.powmod(*numbers)).to_bytes(sizes[2]))
"""


def modexp(data: bytes, check: Callable[[], None]) -> bytes:
    """Return the output for `data`, as many bytes as the modulus has by its length in `data`. Missing bytes are zeros.
    A modulus of 0 gives zeros. `check` is called between steps and may raise."""
    base_size, exponent_size, modulus_size = (_length(data, index) for index in range(3))
    # Before any number is read: the lengths of base and exponent may be huge.
    if modulus_size == 0:
        return b""
    exponent_start = MODEXP_HEADER_BYTES + base_size
    modulus_start = exponent_start + exponent_size
    given = data[modulus_start : modulus_start + modulus_size]
    modulus = gmpy2.mpz(int.from_bytes(given)) << 8 * (modulus_size - len(given)) if given else 0
    # Every power modulo 1 is 0, and a modulus of 0 gives 0 by the EIP. The exponent needs no look.
    if modulus <= 1:
        return bytes(modulus_size)
    if max(len(given), base_size) > NUMBER_BYTES_HERE:
        whole = data[:modulus_start] + given.ljust(modulus_size, b"\0")
        output = compute_in_child_process(_CHILD, gmpy2, whole, check)
        if output is not None and len(output) == modulus_size:
            return output
    # The modulus is not zero, so the input reaches at least into it: base and exponent are there whole.
    base = gmpy2.mpz(int.from_bytes(data[MODEXP_HEADER_BYTES:exponent_start]))
    with gmpy2.context(allow_release_gil=True):
        power = _power(base, data[exponent_start:modulus_start], modulus, check)
    return int(power).to_bytes(modulus_size)


def _length(data: bytes, index: int) -> int:
    return int.from_bytes(data[32 * index : 32 * index + 32].ljust(32, b"\0"))


def _power(base: gmpy2.mpz, exponent: bytes, modulus: gmpy2.mpz, check: Callable[[], None]) -> gmpy2.mpz:
    words = -(-modulus.bit_length() // 64)
    step = max(1, STEP_WORK // (words**2 + WORK_PER_BIT))
    power = gmpy2.mpz(1)
    check()
    # Between two checks: the base may be much longer than the modulus.
    base %= modulus
    for bits, value in _pieces(int.from_bytes(exponent), step):
        check()
        if bits == 1:
            power = power * power % modulus
        else:
            power = gmpy2.powmod(power, gmpy2.mpz(1) << bits, modulus)
        if value:
            check()
            power = power * gmpy2.powmod(base, value, modulus) % modulus if bits > 1 else power * base % modulus
    return power


def _pieces(exponent: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield the bits of an exponent, the highest first, as (count of bits, their value), at most `step` bits at once."""
    left = exponent.bit_length()
    while left:
        bits = min(step, left)
        left -= bits
        yield bits, exponent >> left
        exponent &= (1 << left) - 1
