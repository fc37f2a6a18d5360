"""MODEXP: its edges (EIP-198), its agreement with Python's own power, and that it is done in steps."""

import random
from collections.abc import Callable

import pytest

from lacnode.evm.budget import ExecutionBudget, ExecutionCancelledError
from lacnode.evm.precompiles.modexp import modexp


def nothing() -> None:
    """A check that lets the work go on."""


def given(base_size: int, exponent_size: int, modulus_size: int, numbers: bytes = b"") -> bytes:
    return b"".join(size.to_bytes(32) for size in (base_size, exponent_size, modulus_size)) + numbers


CASES = [
    # Zero to the power of zero is one.
    ((0, 0, 1, "02"), "01"),
    ((0, 1, 1, "0005"), "01"),
    ((0, 1, 1, "0305"), "00"),
    ((0, 0, 2, "0002"), "0001"),
    ((1, 0, 1, "0005"), "01"),
    ((1, 1, 1, "000005"), "01"),
    ((1, 0, 1, "0905"), "01"),
    ((2, 3, 1, "000000000007"), "01"),
    # Modulo one and modulo zero everything is zero.
    ((0, 0, 1, "01"), "00"),
    ((0, 0, 1, "00"), "00"),
    ((1, 1, 2, "03020001"), "0000"),
    ((1, 1, 3, "0302"), "000000"),
    ((1, 1, 1, "030200"), "00"),
    # Without a modulus there is no output, whatever the other lengths say.
    ((0, 0, 0, ""), ""),
    ((1, 1, 0, "0302"), ""),
    ((0, 2**255, 0, ""), ""),
    ((2**256 - 1, 2**256 - 1, 0, ""), ""),
    # What is missing stands for zeros: 3^2 mod 0x0500, 0x0300^0 and 0x0300^1 mod 7.
    ((1, 1, 2, "030205"), "0009"),
    ((2, 1, 1, "03"), "00"),
    ((1, 2, 1, "0301"), "00"),
    ((2, 1, 1, "03000107"), "05"),
    # The base is larger than the modulus.
    ((2, 1, 1, "ffff0107"), "01"),
]


@pytest.mark.parametrize(("sizes", "expected"), CASES)
def test_edges(sizes: tuple[int, int, int, str], expected: str) -> None:
    base_size, exponent_size, modulus_size, numbers = sizes
    data = given(base_size, exponent_size, modulus_size, bytes.fromhex(numbers))
    assert modexp(data, nothing).hex() == expected


@pytest.mark.parametrize("size", [0, 31, 32, 64, 95, 96])
def test_an_input_that_ends_within_its_lengths_goes_on_with_zeros(size: int) -> None:
    assert modexp(given(1, 1, 1)[:size], nothing) == (b"\0" if size == 96 else b"")


def test_agrees_with_python() -> None:
    rng = random.Random(5)
    for _ in range(400):
        sizes = [rng.choice((0, 1, 8, 32, 33, 64, 300)) for _ in range(3)]
        numbers = rng.randbytes(sum(sizes))
        for mask in (0, 0xFE):  # any modulus, and one with a last byte that makes it even
            data = numbers and numbers[:-1] + bytes([numbers[-1] & (mask or 0xFF)])
            base, exponent, modulus = (int.from_bytes(data[sum(sizes[:i]) : sum(sizes[: i + 1])]) for i in range(3))
            expected = pow(base, exponent, modulus) if modulus else 0
            assert modexp(given(sizes[0], sizes[1], sizes[2], data), nothing) == expected.to_bytes(sizes[2]), sizes


@pytest.mark.parametrize("exponent", ["80" + 199 * "00", "ff" * 200, 199 * "00" + "01", "00" * 200, "0f" * 200])
def test_agrees_with_python_when_it_takes_many_steps(exponent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lacnode.evm.precompiles.modexp.STEP_WORK", 16 * 37)
    base, modulus = random.Random(1).randbytes(32), random.Random(2).randbytes(32)
    expected = pow(int.from_bytes(base), int(exponent, 16), int.from_bytes(modulus)).to_bytes(32)
    assert modexp(given(32, 200, 32, base + bytes.fromhex(exponent) + modulus), nothing) == expected


@pytest.mark.parametrize("exponent_size", [2**40, 2**200])
def test_lengths_beyond_the_input_take_neither_time_nor_memory(exponent_size: int) -> None:
    """The modulus is beyond the input, too, so it is zero."""
    assert modexp(given(1, exponent_size, 8, b"\3\1"), nothing) == bytes(8)
    assert modexp(given(exponent_size, 1, 8, b"\3\1"), nothing) == bytes(8)


def counted(limit: int) -> tuple[Callable[[], None], list[int]]:
    """A check that cancels the work at its `limit`th call."""
    budget, calls = ExecutionBudget(), [0]

    def check() -> None:
        calls[0] += 1
        if calls[0] == limit:
            budget.cancel()
        budget.check()

    return check, calls


@pytest.mark.parametrize(
    "data",
    [
        given(100_000, 400, 100_000, random.Random(3).randbytes(200_400)),
        given(8, 1_000_000, 8, b"\3" * 8 + b"\xff" * 1_000_008),
    ],
    ids=["large modulus", "long exponent"],
)
def test_long_work_is_interrupted_between_steps(data: bytes) -> None:
    check, calls = counted(3)
    with pytest.raises(ExecutionCancelledError):
        modexp(data, check)
    assert calls[0] == 3
