"""MODEXP: its edges (EIP-198), its agreement with Python's own power, and that it is done in steps."""

import random
import time
from collections.abc import Callable

import pytest

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget, ExecutionCancelledError
from lacnode.evm.precompiles import modexp as modexp_module
from lacnode.evm.precompiles.modexp import NUMBER_BYTES_HERE, modexp
from tests.unit.evm.test_precompiles import refuse_processes


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


class TestNumbersOfMegabytes:
    """Such a number takes long to multiply even once."""

    @pytest.mark.parametrize("sizes", [(400_001, 1, 60), (60, 2, 400_001), (400_001, 0, 60), (3, 1, 400_001)])
    def test_have_the_same_power(self, sizes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
        data = given(*sizes, random.Random(7).randbytes(sum(sizes)))
        monkeypatch.setattr(modexp_module, "_power", None)  # it is another process that computes
        apart = modexp(data, nothing)
        monkeypatch.undo()
        monkeypatch.setattr(modexp_module, "NUMBER_BYTES_HERE", 2**40)
        assert apart == modexp(data, nothing)

    def test_go_on_with_zeros_where_the_input_ends(self) -> None:
        size = NUMBER_BYTES_HERE + 1
        data = given(2, 1, 2 * size, b"\7\7\2" + b"\3" * size)
        assert modexp(data, nothing) == (0x0707**2).to_bytes(2 * size)

    def test_end_with_the_budget(self) -> None:
        """This power takes about an hour, and its first multiplication half a second."""
        size = 2_000_000
        data = given(size, 1_000, size, random.Random(9).randbytes(2 * size + 1_000))
        checks = [time.monotonic()]
        budget = ExecutionBudget(time.monotonic() + 0.5)

        def check() -> None:
            checks.append(time.monotonic())
            budget.check()

        with pytest.raises(BudgetExceededError):
            modexp(data, check)
        assert len(checks) > 4

    def test_are_computed_here_if_the_other_process_dies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = given(NUMBER_BYTES_HERE + 1, 1, 8, b"\3" * (NUMBER_BYTES_HERE + 10))
        expected = modexp(data, nothing)
        monkeypatch.setattr(modexp_module, "_CHILD", "import os; os.kill(os.getpid(), 9)")
        assert modexp(data, nothing) == expected

    def test_are_computed_here_if_no_other_process_can_be_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = given(NUMBER_BYTES_HERE + 1, 1, 8, b"\3" * (NUMBER_BYTES_HERE + 10))
        expected = modexp(data, nothing)
        refuse_processes(monkeypatch, "subprocess.Popen")
        assert modexp(data, nothing) == expected
