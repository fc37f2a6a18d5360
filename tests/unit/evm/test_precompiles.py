"""Precompiles on curves and BLAKE2 F: agreement with py-evm's, which are slow, and steps that can be interrupted."""

import hashlib
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from eth._utils.blake2.compression import blake2b_compress
from py_arkworks_bls12381 import G1Point, G2Point, Scalar
from py_ecc import optimized_bn128

from lacnode.evm.budget import ExecutionBudget, ExecutionCancelledError
from lacnode.evm.precompiles import alt_bn128, alt_bn128_pairing, bls12_381
from lacnode.evm.precompiles import blake2f as blake2f_module
from lacnode.evm.precompiles.alt_bn128 import INFINITY, N, P, PointError
from lacnode.evm.precompiles.alt_bn128_pairing import INFINITY2, checked_twist_point, pairing_check
from lacnode.evm.precompiles.blake2f import MAX_IN_PROCESS_ROUNDS, blake2f

reference: Any = optimized_bn128

GENERATOR = (1, 2)
GENERATOR2 = (
    (
        10857046999023057135944570762232829481370756359578518086990519993285655852781,
        11559732032986387107991004021392285783925812861821192530917403151452391805634,
    ),
    (
        8495653923123431417604973247489272438418190587263600148770280649306958101930,
        4082367875863433681332203403145435568316851327593401208105741076214120093531,
    ),
)
SCALARS = [0, 1, 2, 3, N - 1, N, N + 1, 2 * N, 2**256 - 1, random.Random(1).getrandbits(256)]


def nothing() -> None:
    """A check that lets the work go on."""


def interrupted_at(call: int) -> Callable[[], None]:
    left = iter(range(call, 0, -1))

    def check() -> None:
        if next(left) == 1:
            raise ExecutionCancelledError

    return check


def of_reference(point: Any) -> alt_bn128.Point:
    if reference.is_inf(point):
        return INFINITY
    x, y = reference.normalize(point)
    return int(x), int(y)


class TestAltBn128:
    @pytest.mark.parametrize("scalar", SCALARS)
    def test_multiplies_like_the_reference(self, scalar: int) -> None:
        assert alt_bn128.multiply(GENERATOR, scalar) == of_reference(reference.multiply(reference.G1, scalar % N))
        assert alt_bn128.multiply(INFINITY, scalar) == INFINITY

    def test_adds_like_the_reference(self) -> None:
        points = [alt_bn128.multiply(GENERATOR, scalar) for scalar in (0, 1, 2, 5, N - 1, N - 5)]
        for left in points:
            for right in points:
                given = [
                    (reference.FQ(x), reference.FQ(y), reference.FQ(int((x, y) != INFINITY))) for x, y in (left, right)
                ]
                assert alt_bn128.add(left, right) == of_reference(reference.add(*given))

    @pytest.mark.parametrize("point", [(1, 3), (0, 1), (P + 1, 2), (1, P + 2), (P, 0), (0, P)])
    def test_refuses_what_is_no_point(self, point: tuple[int, int]) -> None:
        with pytest.raises(PointError):
            alt_bn128.checked_point(*point)

    def test_pairing_is_bilinear(self) -> None:
        left, right = alt_bn128.multiply(GENERATOR, 7), alt_bn128.multiply(GENERATOR, N - 7)
        twice = alt_bn128.multiply(right, 2)
        doubled = reference.normalize(reference.double(reference.G2))
        double2 = tuple((int(c.coeffs[0]), int(c.coeffs[1])) for c in doubled)
        twist = checked_twist_point(*double2)
        assert pairing_check([(left, GENERATOR2), (right, GENERATOR2)], nothing)
        assert pairing_check([(left, twist), (twice, GENERATOR2)], nothing)
        assert not pairing_check([(left, GENERATOR2), (twice, GENERATOR2)], nothing)
        assert not pairing_check([(left, GENERATOR2)], nothing)

    def test_pairing_with_infinity_is_one(self) -> None:
        assert pairing_check([], nothing)
        assert pairing_check([(INFINITY, GENERATOR2), (GENERATOR, INFINITY2)], nothing)

    def test_refuses_points_of_the_twist_that_are_not_of_the_group(self) -> None:
        rng = random.Random(2)
        found = 0
        while found < 2:
            x = (rng.getrandbits(250), rng.getrandbits(250))
            y = square_root(cube_plus_b(x))
            if y is None:
                continue
            found += 1
            with pytest.raises(PointError):
                alt_bn128_pairing.check_order(checked_twist_point(x, y), nothing)
        alt_bn128_pairing.check_order(checked_twist_point(*GENERATOR2), nothing)

    @pytest.mark.parametrize("point", [((1, 1), (1, 1)), ((P, 0), (0, 0)), ((0, 0), (0, P))])
    def test_refuses_what_is_no_point_of_the_twist(self, point: alt_bn128_pairing.TwistPoint) -> None:
        with pytest.raises(PointError):
            checked_twist_point(*point)

    @pytest.mark.parametrize("call", range(1, 12))
    def test_a_pairing_is_interrupted_between_steps(self, call: int) -> None:
        with pytest.raises(ExecutionCancelledError):
            pairing_check([(GENERATOR, GENERATOR2), (GENERATOR, GENERATOR2)], interrupted_at(call))

    def test_the_look_at_the_order_is_interrupted_between_steps(self) -> None:
        with pytest.raises(ExecutionCancelledError):
            alt_bn128_pairing.check_order(GENERATOR2, interrupted_at(5))


def cube_plus_b(x: alt_bn128_pairing.F2) -> Any:
    value = reference.FQ2(list(x))
    return value * value * value + reference.b2


def square_root(value: Any) -> alt_bn128_pairing.F2 | None:
    """A root in F2, by way of the norm; P is 3 modulo 4."""
    a, b = (int(c) for c in value.coeffs)
    norm = pow(a * a + b * b, (P + 1) // 4, P)
    for root in (norm, P - norm):
        half = (a + root) * pow(2, -1, P) % P
        x = pow(half, (P + 1) // 4, P)
        if x and x * x % P == half:
            y = b * pow(2 * x, -1, P) % P
            if reference.FQ2([x, y]) * reference.FQ2([x, y]) == value:
                return x, y
    return None


def refuse_processes(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Let `call` fail in the module that starts processes, as without memory or room on the disk."""

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(f"lacnode.evm.precompiles.apart.{call}", refuse)


def blake2_input(rounds: int, seed: int = 1, final: int = 1) -> bytes:
    return rounds.to_bytes(4) + random.Random(seed).randbytes(208) + bytes([final])


class TestBlake2F:
    @pytest.mark.parametrize("rounds", [0, 1, 12, 200])
    @pytest.mark.parametrize("final", [0, 1])
    def test_agrees_with_py_evm(self, rounds: int, final: int) -> None:
        data = blake2_input(rounds, rounds, final)
        words = [int.from_bytes(data[at : at + 8], "little") for at in range(4, 212, 8)]
        compress: Any = blake2b_compress
        expected = compress(rounds, tuple(words[:8]), tuple(words[8:24]), (words[24], words[25]), final == 1)
        assert blake2f(data, nothing) == expected

    def test_gives_the_known_hash(self) -> None:
        """EIP-152's vector 5: the one block of "abc"."""
        state = bytearray.fromhex(
            "48c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5"
            "d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b"
        )
        data = bytes([0, 0, 0, 12]) + state + b"abc".ljust(128, b"\0") + bytes([3]) + bytes(15) + b"\1"
        assert blake2f(data, nothing) == hashlib.blake2b(b"abc").digest()

    def test_many_rounds_in_a_process_apart_give_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = blake2_input(MAX_IN_PROCESS_ROUNDS + 1)
        apart = blake2f(data, nothing)
        monkeypatch.setattr(blake2f_module, "MAX_IN_PROCESS_ROUNDS", 2**32)
        assert apart == blake2f(data, nothing)

    def test_many_rounds_are_interrupted(self) -> None:
        budget = ExecutionBudget()
        timer = threading.Timer(0.1, budget.cancel)
        timer.start()
        with pytest.raises(ExecutionCancelledError):
            blake2f(blake2_input(2**32 - 1), budget.check)
        timer.join()

    def test_a_process_apart_that_dies_is_no_wrong_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = blake2_input(MAX_IN_PROCESS_ROUNDS + 1)
        expected = blake2f(data, nothing)
        monkeypatch.setattr(blake2f_module, "_CHILD", "import os; os.kill(os.getpid(), 9)")
        assert blake2f(data, nothing) == expected

    @pytest.mark.parametrize("call", ["subprocess.Popen", "TemporaryFile"])
    def test_a_process_apart_that_cannot_be_started_is_no_wrong_answer(
        self, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        data = blake2_input(MAX_IN_PROCESS_ROUNDS + 1)
        expected = blake2f(data, nothing)
        refuse_processes(monkeypatch, call)
        assert blake2f(data, nothing) == expected


def bls_point(data: bytes) -> bytes:
    return b"".join(bytes(16) + data[at : at + 48] for at in range(0, len(data), 48))


class TestBls12:
    """The official tests have the rest; here are steps, and that what a step takes over is not lost."""

    G1, G2 = bls_point(G1Point().to_xy_bytes_be()), bls_point(G2Point().to_xy_bytes_be())
    MINUS_G1 = bls_point((-G1Point()).to_xy_bytes_be())

    @pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
    def test_sums_of_many_products_are_those_of_all_of_them(self, count: int) -> None:
        scalar = (7).to_bytes(32)
        first, second = G1Point() * Scalar(7 * count), G2Point() * Scalar(7 * count)
        assert bls12_381.g1_msm((self.G1 + scalar) * count, nothing) == bls_point(first.to_xy_bytes_be())
        assert bls12_381.g2_msm((self.G2 + scalar) * count, nothing) == bls_point(second.to_xy_bytes_be())

    @pytest.mark.parametrize("count", [1, 8, 9, 20])
    def test_products_of_many_pairings_are_those_of_all_of_them(self, count: int) -> None:
        pairs = (self.G1 + self.G2 + self.MINUS_G1 + self.G2) * count
        assert bls12_381.pairing_check(pairs, nothing) == bls12_381.ONE
        assert bls12_381.pairing_check(pairs + self.G1 + self.G2, nothing) == bytes(32)

    def test_points_outside_the_group_are_refused_where_it_matters(self) -> None:
        x, y = 4, 0
        while y * y % bls12_381.FIELD_PRIME != (x**3 + 4) % bls12_381.FIELD_PRIME:
            x += 1
            y = pow(x**3 + 4, (bls12_381.FIELD_PRIME + 1) // 4, bls12_381.FIELD_PRIME)
        point = x.to_bytes(64) + y.to_bytes(64)
        assert len(bls12_381.g1_add(point + self.G1)) == 128
        with pytest.raises(ValueError, match="subgroup"):
            bls12_381.g1_msm(point + (1).to_bytes(32), nothing)
        with pytest.raises(ValueError, match="subgroup"):
            bls12_381.pairing_check(point + self.G2, nothing)

    @pytest.mark.parametrize("at", range(0, 128, 64))
    def test_coordinates_not_below_the_prime_are_refused(self, at: int) -> None:
        bad = bytearray(self.G1)
        bad[at : at + 64] = (int.from_bytes(bad[at : at + 64]) + bls12_381.FIELD_PRIME).to_bytes(64)
        with pytest.raises(ValueError, match="prime"):
            bls12_381.g1_add(bytes(bad) + self.G1)

    @pytest.mark.parametrize("call", [1, 2])
    def test_long_work_is_interrupted_between_steps(self, call: int) -> None:
        for work, data in (
            (bls12_381.g1_msm, (self.G1 + (1).to_bytes(32)) * 40),
            (bls12_381.g2_msm, (self.G2 + (1).to_bytes(32)) * 40),
            (bls12_381.pairing_check, (self.G1 + self.G2) * 40),
        ):
            with pytest.raises(ExecutionCancelledError):
                work(data, interrupted_at(call))
