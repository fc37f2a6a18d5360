"""Addition and multiplication on alt_bn128 (addresses 6 and 7, EIP-196), on plain integers.

There is no maintained native library with wheels, and the objects of pure-Python ones are ten times slower than integers.
"""

P = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The prime of the field."""

N = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""The order of the group: every point of the curve has it."""

Point = tuple[int, int]
"""Coordinates below P. (0, 0), which is not on the curve, is the point at infinity."""

INFINITY: Point = (0, 0)


class PointError(Exception):
    """The coordinates are those of no point on the curve."""


def checked_point(x: int, y: int) -> Point:
    """Return the point with these coordinates, which may be that at infinity. PointError if a coordinate is not below
    P, or the point is not on the curve."""
    if x >= P or y >= P:
        raise PointError("a coordinate is not below the field's prime")
    if (x, y) != INFINITY and (y * y - x * x * x - 3) % P:
        raise PointError("the point is not on the curve")
    return x, y


def add(left: Point, right: Point) -> Point:
    """Return the sum of two points, which the caller has checked before (`checked_point`)."""
    if left == INFINITY:
        return right
    if right == INFINITY:
        return left
    (x1, y1), (x2, y2) = left, right
    # Different points lie on a line, equal ones on a tangent. A point and its opposite have no third point: their
    # sum is infinity.
    if x1 != x2:
        slope = (y2 - y1) * pow(x2 - x1, -1, P)
    elif y1 == y2:
        slope = 3 * x1 * x1 * pow(2 * y1, -1, P)
    else:
        return INFINITY
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def multiply(point: Point, scalar: int) -> Point:
    """Return `scalar` times a checked point, by double and add in Jacobian coordinates (x / z^2, y / z^3). Any
    non-negative scalar is allowed."""
    # Every point of the curve has the order N, so the input's multiples of N change nothing. It bounds the loop
    # too.
    scalar %= N
    if point == INFINITY or scalar == 0:
        return INFINITY
    px, py = point
    x, y, z = px, py, 1
    # The text of a number begins with `0b1`. The first bit is the point itself.
    for bit in bin(scalar)[3:]:
        x, y, z = _doubled(x, y, z)
        if bit == "1":
            x, y, z = _plus(x, y, z, px, py)
    # No multiple below N of a point of order N is the point at infinity.
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def _doubled(x: int, y: int, z: int) -> tuple[int, int, int]:
    yy = y * y % P
    s = 4 * x * yy
    m = 3 * x * x % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _plus(x: int, y: int, z: int, px: int, py: int) -> tuple[int, int, int]:
    """Return the sum of a point and (px, py), which is another one and not its opposite.

    In double and add it never is: the sum so far is an even multiple of (px, py), below N.
    """
    zz = z * z % P
    h = (px * zz - x) % P
    r = (py * zz * z - y) % P
    hh = h * h % P
    hhh = h * hh % P
    v = x * hh
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y * hhh) % P, h * z % P
