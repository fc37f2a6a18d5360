"""The precompiles that py-evm computes in pure Python, replaced by ours: same prices, interruptible, and quicker.

What stays py-evm's: ecrecover (by libsecp256k1, through eth-keys), SHA-256, RIPEMD-160 and identity, which are short for
any amount of memory that gas can buy. Must not compute anything itself.
"""

from collections.abc import Callable
from typing import Any

from eth._utils.blake2.coders import extract_blake2b_parameters
from eth.exceptions import VMError
from eth.precompiles.bls12_381 import constants as bls_gas
from eth.precompiles.modexp import _compute_modexp_gas_fee_eip_198
from eth.vm.forks.berlin.computation import _compute_modexp_gas_fee_eip_2565
from eth.vm.forks.cancun.constants import POINT_EVALUATION_PRECOMPILE_GAS
from eth_utils.exceptions import ValidationError

from lacnode.chainspec.forks import Fork
from lacnode.evm.precompiles import alt_bn128, alt_bn128_pairing, bls12_381
from lacnode.evm.precompiles.blake2f import blake2f
from lacnode.evm.precompiles.modexp import modexp

Precompile = Callable[[Any], None]
"""Charges a computation for its input, and gives it an output. VMError if the input is invalid."""

Work = Callable[[bytes, Callable[[], None]], bytes]
"""The output for an input. The callback is called every now and then, and may raise."""

PAIR_BYTES = 192
"""Bytes of two points in the input of alt_bn128's pairing check."""


def replace_precompiles(precompiles: dict[bytes, Precompile], fork: Fork) -> dict[bytes, Precompile]:
    """Return a new mapping of `precompiles`, which are py-evm's of `fork` by their 20-byte address, with this project's
    own in the place of those that this project computes itself."""
    ours: dict[int, Precompile] = {}
    if fork >= Fork.BYZANTIUM:
        ours.update(_since_byzantium(is_istanbul=fork >= Fork.ISTANBUL))
        price = _compute_modexp_gas_fee_eip_2565 if fork >= Fork.BERLIN else _compute_modexp_gas_fee_eip_198
        ours[5] = _priced("MODEXP", price, modexp)
    if fork >= Fork.ISTANBUL:
        ours[9] = _blake2f
    if fork >= Fork.CANCUN:
        ours[10] = _fixed("Point Evaluation", POINT_EVALUATION_PRECOMPILE_GAS, bls12_381.point_evaluation)
    if fork >= Fork.PRAGUE:
        ours.update(_BLS12_381)
    return {**precompiles, **{number.to_bytes(20): precompile for number, precompile in ours.items()}}


def _priced(name: str, price: Callable[[bytes], int], work: Work) -> Precompile:
    def precompile(computation: Any) -> None:
        data = computation.msg.data_as_bytes
        # Charged before the work. A call with too little gas must not cost time.
        computation.consume_gas(price(data), f"{name} Precompile")
        try:
            computation.output = work(data, computation.state.budget.check)
        except (ValueError, alt_bn128.PointError) as error:
            raise VMError(f"Invalid {name} input: {error}") from None

    return precompile


def _fixed(name: str, gas: int, work: Callable[[bytes], bytes]) -> Precompile:
    """Return a precompile whose work is a few milliseconds at most."""
    return _priced(name, lambda data: gas, lambda data, check: work(data))


def _blake2f(computation: Any) -> None:
    data = computation.msg.data_as_bytes
    try:
        # The input has its own price in it, so it is read before the charge. Invalid input costs all gas of the call.
        rounds = extract_blake2b_parameters(data)[0]
    except ValidationError as error:
        raise VMError(f"Invalid Blake2 F input: {error}") from None
    computation.consume_gas(rounds, "Blake2b Compress Precompile")
    computation.output = blake2f(data, computation.state.budget.check)


# -- alt_bn128 -------------------------------------------------------------------------------------------------------


def _since_byzantium(*, is_istanbul: bool) -> dict[int, Precompile]:
    add, multiply, base, each = (150, 6_000, 45_000, 34_000) if is_istanbul else (500, 40_000, 100_000, 80_000)

    def pairing_price(data: bytes) -> int:
        if len(data) % PAIR_BYTES:
            raise VMError("Invalid ECPAIRING input: not a multiple of 192 bytes")
        return base + each * (len(data) // PAIR_BYTES)

    return {
        6: _fixed("ECADD", add, _add),
        7: _fixed("ECMUL", multiply, _multiply),
        8: _priced("ECPAIRING", pairing_price, _pairing),
    }


def _numbers(data: bytes, count: int) -> list[int]:
    """Return `count` numbers of 32 bytes. Missing bytes are zeros."""
    return [int.from_bytes(data[32 * index : 32 * index + 32].ljust(32, b"\0")) for index in range(count)]


def _point_bytes(point: alt_bn128.Point) -> bytes:
    return point[0].to_bytes(32) + point[1].to_bytes(32)


def _add(data: bytes) -> bytes:
    x1, y1, x2, y2 = _numbers(data, 4)
    return _point_bytes(alt_bn128.add(alt_bn128.checked_point(x1, y1), alt_bn128.checked_point(x2, y2)))


def _multiply(data: bytes) -> bytes:
    x, y, scalar = _numbers(data, 3)
    return _point_bytes(alt_bn128.multiply(alt_bn128.checked_point(x, y), scalar))


def _pairing(data: bytes, check: Callable[[], None]) -> bytes:
    pairs = (_pair(data[start : start + PAIR_BYTES], check) for start in range(0, len(data), PAIR_BYTES))
    return int(alt_bn128_pairing.pairing_check(pairs, check)).to_bytes(32)


def _pair(data: bytes, check: Callable[[], None]) -> tuple[alt_bn128.Point, alt_bn128_pairing.TwistPoint]:
    """Return the two points. Of the second one's coordinates the imaginary part comes first."""
    x, y, x_u, x_1, y_u, y_1 = _numbers(data, 6)
    left, right = alt_bn128.checked_point(x, y), alt_bn128_pairing.checked_twist_point((x_1, x_u), (y_1, y_u))
    # The point at infinity needs no test of its order, and the test is long.
    if right != alt_bn128_pairing.INFINITY2:
        alt_bn128_pairing.check_order(right, check)
    return left, right


# -- BLS12-381 -------------------------------------------------------------------------------------------------------


def _msm_price(size: int, each: int, discounts: list[int], last_discount: int) -> Callable[[bytes], int]:
    def price(data: bytes) -> int:
        count = len(data) // size
        if not count or len(data) % size:
            raise VMError(f"Invalid input: not a multiple of {size} bytes")
        discount = discounts[count - 1] if count <= len(discounts) else last_discount
        return count * each * discount // bls_gas.MSM_MULTIPLIER

    return price


def _bls_pairing_price(data: bytes) -> int:
    return 37_700 + 32_600 * (len(data) // (bls12_381.G1_BYTES + bls12_381.G2_BYTES))


_BLS12_381: dict[int, Precompile] = {
    11: _fixed("BLS12_G1ADD", bls_gas.BLS12_G1_ADD_GAS, bls12_381.g1_add),
    12: _priced(
        "BLS12_G1MSM",
        _msm_price(160, bls_gas.BLS12_G1_MSM_GAS, bls_gas.G1_MSM_DISCOUNTS, bls_gas.G1_MSM_MAX_DISCOUNT),
        bls12_381.g1_msm,
    ),
    13: _fixed("BLS12_G2ADD", bls_gas.BLS12_G2_ADD_GAS, bls12_381.g2_add),
    14: _priced(
        "BLS12_G2MSM",
        _msm_price(288, bls_gas.BLS12_G2_MSM_GAS, bls_gas.G2_MSM_DISCOUNTS, bls_gas.G2_MSM_MAX_DISCOUNT),
        bls12_381.g2_msm,
    ),
    15: _priced("BLS12_PAIRING_CHECK", _bls_pairing_price, bls12_381.pairing_check),
    16: _fixed("BLS12_MAP_FP_TO_G1", bls_gas.BLS12_MAP_FP_G1_GAS, bls12_381.map_to_g1),
    17: _fixed("BLS12_MAP_FP2_TO_G2", bls_gas.BLS12_MAP_FP2_G2_GAS, bls12_381.map_to_g2),
}
