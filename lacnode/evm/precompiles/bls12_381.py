"""Operations on BLS12-381 (addresses 10 to 17, EIP-2537 and EIP-4844), by arkworks' library, in steps of a few points.

Raises ValueError for input that is not well-formed, that names no point, or, where the order of a point matters, one
outside the group. Must not price the work.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

Check = Callable[[], None]

FIELD_BYTES, PADDED_FIELD_BYTES = 48, 64
"""Bytes of a field element, and of one in the input: zeros come first."""

G1_BYTES, G2_BYTES, SCALAR_BYTES = 2 * PADDED_FIELD_BYTES, 4 * PADDED_FIELD_BYTES, 32

POINTS_PER_CALL = 16
"""Points that one call of the library works on: 10 ms."""

FIELD_PRIME = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
GROUP_ORDER = 52435875175126190479447740508185965837690552500527637822603658699938581184513

ONE = bytes(31) + b"\x01"
"""The output of a pairing check that holds."""

FIELD_ELEMENTS_PER_BLOB = 4096
POINT_EVALUATION_BYTES, COMMITMENT_HASH_VERSION = 192, b"\x01"
TAU_G2 = bytes.fromhex(
    "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d2914e5870cb452d2afaaab24f3499f72"
    "185cbfee53492714734429b7b38608e23926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2"
)
"""The generator of G2 times the secret of Ethereum's KZG ceremony: all of its result that a proof's verification needs."""


def g1_add(data: bytes) -> bytes:
    """The sum (128 bytes) of two points of the curve (128 bytes each), which need not be in the group. ValueError if
    the input is malformed or names no such point."""
    # For an addition EIP-2537 asks for points of the curve only. For a sum of products and for a pairing they must be in the
    # group too.
    left, right = (_g1(part, in_group=False) for part in _parts(data, G1_BYTES, count=2))
    return _padded((left + right).to_xy_bytes_be())


def g2_add(data: bytes) -> bytes:
    """The sum (256 bytes) of two points of the twist (256 bytes each), which need not be in the group. ValueError if
    the input is malformed or names no such point."""
    left, right = (_g2(part, in_group=False) for part in _parts(data, G2_BYTES, count=2))
    return _padded((left + right).to_xy_bytes_be())


def g1_msm(data: bytes, check: Check) -> bytes:
    """The sum (128 bytes) of products of points of G1 (128 bytes) and scalars (32 bytes), at least one pair. `check` is
    called between steps and may raise. ValueError if the input is malformed or names no such point."""
    total = G1Point.identity()
    for group in _groups(data, G1_BYTES + SCALAR_BYTES):
        check()
        points = [_g1(part[:G1_BYTES], in_group=True) for part in group]
        total = total + G1Point.multiexp_unchecked(points, [_scalar(part[G1_BYTES:]) for part in group])
    return _padded(total.to_xy_bytes_be())


def g2_msm(data: bytes, check: Check) -> bytes:
    """The sum (256 bytes) of products of points of G2 (256 bytes) and scalars (32 bytes), at least one pair. `check` is
    called between steps and may raise. ValueError if the input is malformed or names no such point."""
    total = G2Point.identity()
    for group in _groups(data, G2_BYTES + SCALAR_BYTES):
        check()
        points = [_g2(part[:G2_BYTES], in_group=True) for part in group]
        total = total + G2Point.multiexp_unchecked(points, [_scalar(part[G2_BYTES:]) for part in group])
    return _padded(total.to_xy_bytes_be())


def pairing_check(data: bytes, check: Check) -> bytes:
    """One if the product of the pairings of points of G1 (128 bytes) and G2 (256 bytes) is one, otherwise zero, in 32
    bytes. At least one pair. `check` is called between steps and may raise. ValueError if the input is malformed or
    names no such point."""
    total = GT.one()
    for group in _groups(data, G1_BYTES + G2_BYTES):
        check()
        left = [_g1(part[:G1_BYTES], in_group=True) for part in group]
        total = total * GT.multi_pairing(left, [_g2(part[G1_BYTES:], in_group=True) for part in group])
    return ONE if total == GT.one() else bytes(32)


def map_to_g1(data: bytes) -> bytes:
    """Return the point of G1 (128 bytes) to which a field element (64 bytes) is mapped (EIP-2537). ValueError for
    another length, or an element that is not below the field's prime."""
    (element,) = _parts(data, PADDED_FIELD_BYTES, count=1)
    return _padded(G1Point.map_from_fp_be(_field_element(element)).to_xy_bytes_be())


def map_to_g2(data: bytes) -> bytes:
    """The point of G2 (256 bytes) that an element of the extended field (128 bytes) is mapped to. ValueError for
    another length, or a part that is not below the field's prime."""
    elements = _parts(data, PADDED_FIELD_BYTES, count=2)
    return _padded(G2Point.map_from_fp2_be(b"".join(map(_field_element, elements))).to_xy_bytes_be())


def point_evaluation(data: bytes) -> bytes:
    """Verify that a blob's polynomial has a value at a point (EIP-4844). `data` has 192 bytes. Return the constants of
    the field (64 bytes), which are all of the output. ValueError if the input is not well-formed or the proof does not
    hold."""
    if len(data) != POINT_EVALUATION_BYTES:
        raise ValueError(f"{POINT_EVALUATION_BYTES} bytes were expected")
    versioned_hash, commitment = data[:32], data[96:144]
    if versioned_hash != COMMITMENT_HASH_VERSION + sha256(commitment).digest()[1:]:
        raise ValueError("the commitment is not the versioned hash's")
    at, value = (int.from_bytes(data[start : start + 32]) for start in (32, 64))
    if max(at, value) >= GROUP_ORDER:
        raise ValueError("a number is not below the field's order")
    # The equation of KZG: (commitment - value) paired with one generator is the proof paired with (tau - point).
    # Its sides are moved to one, so that a single check of two pairings is enough.
    difference = _compressed(commitment) - G1Point() * Scalar.from_be_bytes_mod_order(data[64:96])
    divisor = G2Point.from_compressed_bytes(TAU_G2) - G2Point() * Scalar.from_be_bytes_mod_order(data[32:64])
    if not GT.pairing_check([difference, -_compressed(data[144:192])], [G2Point(), divisor]):
        raise ValueError("the proof does not hold")
    return FIELD_ELEMENTS_PER_BLOB.to_bytes(32) + GROUP_ORDER.to_bytes(32)


# -- input and output ------------------------------------------------------------------------------------------------


def _parts(data: bytes, size: int, *, count: int) -> list[bytes]:
    if len(data) != count * size:
        raise ValueError(f"{count * size} bytes were expected")
    return [data[start : start + size] for start in range(0, len(data), size)]


def _groups(data: bytes, size: int) -> Iterator[list[bytes]]:
    """`POINTS_PER_CALL` parts of `size` bytes at a time."""
    if not data or len(data) % size:
        raise ValueError(f"a multiple of {size} bytes was expected")
    for start in range(0, len(data), POINTS_PER_CALL * size):
        group = data[start : start + POINTS_PER_CALL * size]
        yield _parts(group, size, count=len(group) // size)


def _g1(data: bytes, *, in_group: bool) -> G1Point:
    coordinates = b"".join(map(_field_element, _parts(data, PADDED_FIELD_BYTES, count=2)))
    return G1Point.from_xy_bytes_be(coordinates) if in_group else G1Point.from_xy_bytes_unchecked_be(coordinates)


def _g2(data: bytes, *, in_group: bool) -> G2Point:
    coordinates = b"".join(map(_field_element, _parts(data, PADDED_FIELD_BYTES, count=4)))
    return G2Point.from_xy_bytes_be(coordinates) if in_group else G2Point.from_xy_bytes_unchecked_be(coordinates)


def _field_element(data: bytes) -> bytes:
    # The slice below drops the padding. A padding that is not zero makes the number too large, so it is found here.
    if int.from_bytes(data) >= FIELD_PRIME:
        raise ValueError("a coordinate is not below the field's prime")
    return data[PADDED_FIELD_BYTES - FIELD_BYTES :]


def _scalar(data: bytes) -> Scalar:
    return Scalar.from_be_bytes_mod_order(data)


def _compressed(data: bytes) -> G1Point:
    point = G1Point.from_compressed_bytes(data)
    # The library takes other encodings of the same point. Consensus has one.
    if point.to_compressed_bytes() != data:
        raise ValueError("a point is not written in its one way")
    return point


def _padded(coordinates: bytes) -> bytes:
    padding = bytes(PADDED_FIELD_BYTES - FIELD_BYTES)
    return b"".join(
        padding + coordinates[start : start + FIELD_BYTES] for start in range(0, len(coordinates), FIELD_BYTES)
    )
