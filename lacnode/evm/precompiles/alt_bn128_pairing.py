"""The pairing check on alt_bn128 (address 8, EIP-197): the optimal ate pairing on plain integers, in steps.

The tower of fields is the usual one: F2 = F[u] / (u^2 + 1), F6 = F2[v] / (v^3 - XI) with XI = 9 + u, F12 = F6[w] /
(w^2 - v). Sums are not reduced, products are. Points of G2 stand on the twist y^2 = x^3 + 3 / XI. Sources: "High-Speed
Software Implementation of the Optimal Ate Pairing over Barreto-Naehrig Curves" (Beuchat and others, 2010) and "Software
Implementation of Pairings" (Hankerson, Menezes, Scott, 2008).
"""

from collections.abc import Callable, Iterable

from lacnode.evm.precompiles.alt_bn128 import INFINITY, N, P, Point, PointError

F2 = tuple[int, int]
"""a + b u."""

F6 = tuple[F2, F2, F2]
F12 = tuple[F6, F6]
TwistPoint = tuple[F2, F2]
"""A point of the twist. Two zeros for the point at infinity."""

U = 4965661367192848881
"""The parameter of the curve."""

ZERO2: F2 = (0, 0)
ONE2: F2 = (1, 0)
ZERO6: F6 = (ZERO2, ZERO2, ZERO2)
ONE12: F12 = ((ONE2, ZERO2, ZERO2), ZERO6)
INFINITY2: TwistPoint = (ZERO2, ZERO2)


# -- F2 --------------------------------------------------------------------------------------------------------------


def _mul2(x: F2, y: F2) -> F2:
    a, b = x
    c, d = y
    return (a * c - b * d) % P, (a * d + b * c) % P


def _square2(x: F2) -> F2:
    a, b = x
    return (a + b) * (a - b) % P, 2 * a * b % P


def _scaled2(x: F2, k: int) -> F2:
    return x[0] * k % P, x[1] * k % P


def _xi2(x: F2) -> F2:
    """XI times x."""
    a, b = x
    return 9 * a - b, 9 * b + a


def _inverse2(x: F2) -> F2:
    a, b = x
    norm = pow(a * a + b * b, -1, P)
    return a * norm % P, -b * norm % P


def _power2(x: F2, exponent: int) -> F2:
    power = ONE2
    for bit in bin(exponent)[2:]:
        power = _square2(power)
        if bit == "1":
            power = _mul2(power, x)
    return power


# -- F6 --------------------------------------------------------------------------------------------------------------


def _add6(x: F6, y: F6) -> F6:
    (a, b), (c, d), (e, f) = x
    (g, h), (i, j), (k, m) = y
    return (a + g, b + h), (c + i, d + j), (e + k, f + m)


def _sub6(x: F6, y: F6) -> F6:
    (a, b), (c, d), (e, f) = x
    (g, h), (i, j), (k, m) = y
    return (a - g, b - h), (c - i, d - j), (e - k, f - m)


def _v6(x: F6) -> F6:
    """v times x."""
    return _xi2(x[2]), x[0], x[1]


def _mul6(x: F6, y: F6) -> F6:
    """Schoolbook on integers: fewer calls beat fewer multiplications."""
    (a0, a1), (b0, b1), (c0, c1) = x
    (d0, d1), (e0, e1), (f0, f1) = y
    # High coefficients of v^3 and v^4 come back multiplied with XI.
    h0 = b0 * f0 - b1 * f1 + c0 * e0 - c1 * e1
    h1 = b0 * f1 + b1 * f0 + c0 * e1 + c1 * e0
    g0 = c0 * f0 - c1 * f1
    g1 = c0 * f1 + c1 * f0
    return (
        ((a0 * d0 - a1 * d1 + 9 * h0 - h1) % P, (a0 * d1 + a1 * d0 + 9 * h1 + h0) % P),
        (
            (a0 * e0 - a1 * e1 + b0 * d0 - b1 * d1 + 9 * g0 - g1) % P,
            (a0 * e1 + a1 * e0 + b0 * d1 + b1 * d0 + 9 * g1 + g0) % P,
        ),
        (
            (a0 * f0 - a1 * f1 + b0 * e0 - b1 * e1 + c0 * d0 - c1 * d1) % P,
            (a0 * f1 + a1 * f0 + b0 * e1 + b1 * e0 + c0 * d1 + c1 * d0) % P,
        ),
    )


def _mul6_by_line(x: F6, d: F2, e: F2) -> F6:
    """x times d + e v."""
    (a0, a1), (b0, b1), (c0, c1) = x
    d0, d1 = d
    e0, e1 = e
    h0 = c0 * e0 - c1 * e1
    h1 = c0 * e1 + c1 * e0
    return (
        ((a0 * d0 - a1 * d1 + 9 * h0 - h1) % P, (a0 * d1 + a1 * d0 + 9 * h1 + h0) % P),
        ((a0 * e0 - a1 * e1 + b0 * d0 - b1 * d1) % P, (a0 * e1 + a1 * e0 + b0 * d1 + b1 * d0) % P),
        ((b0 * e0 - b1 * e1 + c0 * d0 - c1 * d1) % P, (b0 * e1 + b1 * e0 + c0 * d1 + c1 * d0) % P),
    )


def _scaled6(x: F6, k: int) -> F6:
    return _scaled2(x[0], k), _scaled2(x[1], k), _scaled2(x[2], k)


def _inverse6(x: F6) -> F6:
    a, b, c = x
    # The inverse in F6 by the norm to F2, so that only one inverse in F2 is needed (Beuchat and others, algorithm 17).
    bc, ac, ab = _xi2(_mul2(b, c)), _mul2(a, c), _mul2(a, b)
    aa, bb, cc = _square2(a), _square2(b), _xi2(_square2(c))
    d = (aa[0] - bc[0], aa[1] - bc[1])
    e = (cc[0] - ab[0], cc[1] - ab[1])
    f = (bb[0] - ac[0], bb[1] - ac[1])
    ce, bf, ad = _xi2(_mul2(c, e)), _xi2(_mul2(b, f)), _mul2(a, d)
    inverse = _inverse2((ce[0] + bf[0] + ad[0], ce[1] + bf[1] + ad[1]))
    return _mul2(d, inverse), _mul2(e, inverse), _mul2(f, inverse)


# -- F12 -------------------------------------------------------------------------------------------------------------


def _mul12(x: F12, y: F12) -> F12:
    a, b = x
    c, d = y
    # Karatsuba: three products in F6 in place of four. Here a product costs much more than the sums around it.
    ac, bd = _mul6(a, c), _mul6(b, d)
    cross = _mul6(_add6(a, b), _add6(c, d))
    return _add6(ac, _v6(bd)), _sub6(_sub6(cross, ac), bd)


def _square12(x: F12) -> F12:
    a, b = x
    # The complex method: two products in F6 in place of three.
    ab = _mul6(a, b)
    square = _mul6(_add6(a, b), _add6(a, _v6(b)))
    return _sub6(_sub6(square, ab), _v6(ab)), _add6(ab, ab)


def _mul12_by_line(x: F12, yp: int, d: F2, e: F2) -> F12:
    """x times yp + (d + e v) w."""
    a, b = x
    return (
        _add6(_scaled6(a, yp), _v6(_mul6_by_line(b, d, e))),
        _add6(_scaled6(b, yp), _mul6_by_line(a, d, e)),
    )


def _conjugate12(x: F12) -> F12:
    """x to the P^6, which in the cyclotomic subgroup is its inverse."""
    return x[0], _sub6(ZERO6, x[1])


def _inverse12(x: F12) -> F12:
    a, b = x
    inverse = _inverse6(_sub6(_mul6(a, a), _v6(_mul6(b, b))))
    return _mul6(a, inverse), _sub6(ZERO6, _mul6(b, inverse))


_FROBENIUS = [_power2((9, 1), i * (P - 1) // 6) for i in range(6)]
"""w^i to the P is w^i times this."""


def _frobenius12(x: F12) -> F12:
    """x to the P."""
    (a, c, e), (b, d, f) = x
    return (
        (_twisted(a, 0), _twisted(c, 2), _twisted(e, 4)),
        (_twisted(b, 1), _twisted(d, 3), _twisted(f, 5)),
    )


def _twisted(x: F2, i: int) -> F2:
    return _mul2((x[0], -x[1]), _FROBENIUS[i])


def _power12(x: F12, exponent: int) -> F12:
    power = x
    for bit in bin(exponent)[3:]:
        power = _square12(power)
        if bit == "1":
            power = _mul12(power, x)
    return power


# -- points of the twist ---------------------------------------------------------------------------------------------

_TWIST_B = _scaled2(_inverse2((9, 1)), 3)


def checked_twist_point(x: F2, y: F2) -> TwistPoint:
    """The point of the twist with these coordinates, which may be that at infinity. PointError if a coordinate is not
    below P, or the point is not on the twist. Its order is not looked at (`check_order`)."""
    if max(*x, *y) >= P:
        raise PointError("a coordinate is not below the field's prime")
    if (x, y) != INFINITY2:
        cube = _mul2(_square2(x), x)
        left = _square2(y)
        if any((left[i] - cube[i] - _TWIST_B[i]) % P for i in range(2)):
            raise PointError("the point is not on the twist")
    return x, y


def check_order(point: TwistPoint, check: Callable[[], None]) -> None:
    """Return if N times `point` is the point at infinity. PointError otherwise: the twist has other points, too.
    `check` is called between steps and may raise."""
    x, y, z = *point, ONE2
    for index, bit in enumerate(bin(N)[3:]):
        # The whole loop is long, and an input may have thousands of points.
        if index % 32 == 0:
            check()
        x, y, z = _doubled(x, y, z)
        if bit == "1":
            x, y, z = _plus(x, y, z, point)
    if z[0] % P or z[1] % P:
        raise PointError("the point is not of the group's order")


def _doubled(x: F2, y: F2, z: F2) -> tuple[F2, F2, F2]:
    yy, xx = _square2(y), _square2(x)
    s = _mul2(x, yy)
    s0, s1 = 4 * s[0], 4 * s[1]
    m = (3 * xx[0], 3 * xx[1])
    mm = _square2(m)
    x3 = ((mm[0] - 2 * s0) % P, (mm[1] - 2 * s1) % P)
    y4, yz = _square2(yy), _mul2(y, z)
    t = _mul2(m, (s0 - x3[0], s1 - x3[1]))
    return x3, ((t[0] - 8 * y4[0]) % P, (t[1] - 8 * y4[1]) % P), (2 * yz[0], 2 * yz[1])


def _plus(x: F2, y: F2, z: F2, other: TwistPoint) -> tuple[F2, F2, F2]:
    """The sum of a point (x / z^2, y / z^3) and `other`. Any z of zero is the point at infinity. On a point of another
    order the sum may be of equal points, which gives a z of zero, too, and so must not be taken for the end."""
    if not (z[0] % P or z[1] % P):
        return (*other, ONE2)
    zz = _square2(z)
    u, s = _mul2(other[0], zz), _mul2(other[1], _mul2(zz, z))
    h = ((u[0] - x[0]) % P, (u[1] - x[1]) % P)
    r = ((s[0] - y[0]) % P, (s[1] - y[1]) % P)
    # The formula below divides by the difference of the two points, which is zero here.
    if h == ZERO2 == r:
        return _doubled(x, y, z)
    hh = _square2(h)
    hhh, v, rr = _mul2(h, hh), _mul2(x, hh), _square2(r)
    x3 = ((rr[0] - hhh[0] - 2 * v[0]) % P, (rr[1] - hhh[1] - 2 * v[1]) % P)
    t, yh = _mul2(r, (v[0] - x3[0], v[1] - x3[1])), _mul2(y, hhh)
    return x3, ((t[0] - yh[0]) % P, (t[1] - yh[1]) % P), _mul2(h, z)


# -- the pairing -----------------------------------------------------------------------------------------------------


def pairing_check(pairs: Iterable[tuple[Point, TwistPoint]], check: Callable[[], None]) -> bool:
    """Return whether the product of the pairings is one. True without pairs. The points must be checked before. `check`
    is called between steps of a millisecond and may raise."""
    product = ONE12
    for left, right in pairs:
        check()
        # A pairing with the point at infinity is one, and changes no product.
        if left != INFINITY and right != INFINITY2:
            product = _mul12(product, _miller_loop(left, right, check))
    # One final exponentiation for all pairs: it is the longest part, and the product of powers is the power of the
    # product.
    return _final_exponentiation(product, check) == ONE12


def _miller_loop(of: Point, at: TwistPoint, check: Callable[[], None]) -> F12:
    value, sum_ = ONE12, at
    for index, bit in enumerate(bin(6 * U + 2)[3:]):
        if index % 16 == 0:
            check()
        value = _square12(value)
        value, sum_ = _line(value, sum_, sum_, of)
        if bit == "1":
            value, sum_ = _line(value, sum_, at, of)
    # The optimal ate pairing ends with two lines through the images of the point under Frobenius.
    once = _twist_frobenius(at)
    twice = _twist_frobenius(once)
    value, sum_ = _line(value, sum_, once, of)
    value, _ = _line(value, sum_, (twice[0], (-twice[1][0], -twice[1][1])), of)
    return value


def _line(value: F12, left: TwistPoint, right: TwistPoint, of: Point) -> tuple[F12, TwistPoint]:
    """`value` times the line through two points of the twist (a tangent, if they are one) at a point of the curve. And
    their sum. Of points of order N none is the other's opposite here."""
    (x1, y1), (x2, y2) = left, right
    if left is right:
        xx = _square2(x1)
        slope = _mul2((3 * xx[0], 3 * xx[1]), _inverse2((2 * y1[0], 2 * y1[1])))
    else:
        slope = _mul2((y2[0] - y1[0], y2[1] - y1[1]), _inverse2((x2[0] - x1[0], x2[1] - x1[1])))
    square, at_x = _square2(slope), _mul2(slope, x1)
    x3 = ((square[0] - x1[0] - x2[0]) % P, (square[1] - x1[1] - x2[1]) % P)
    back = _mul2(slope, (x1[0] - x3[0], x1[1] - x3[1]))
    x, y = of
    value = _mul12_by_line(value, y, (-slope[0] * x, -slope[1] * x), (at_x[0] - y1[0], at_x[1] - y1[1]))
    return value, (x3, ((back[0] - y1[0]) % P, (back[1] - y1[1]) % P))


def _twist_frobenius(of: TwistPoint) -> TwistPoint:
    return _twisted(of[0], 2), _twisted(of[1], 3)


def _final_exponentiation(value: F12, check: Callable[[], None]) -> F12:
    """`value` to the (P^12 - 1) / N, reduced."""
    check()
    # The easy part, to the (P^6 - 1)(P^2 + 1). After it an inverse is only a conjugate.
    value = _mul12(_conjugate12(value), _inverse12(value))
    value = _mul12(_frobenius12(_frobenius12(value)), value)
    powers = [value]
    for _ in range(3):
        check()
        powers.append(_power12(powers[-1], U))
    check()
    # The rest of the exponent, written in powers of P, whose digits are polynomials in U (Devegili and others, 2007).
    one, u, uu, uuu = powers
    common = _mul12(_mul12(_power12(uuu, 36), _power12(uu, 18)), _power12(u, 12))
    digit0 = _conjugate12(_mul12(_mul12(common, _mul12(_power12(uu, 12), _power12(u, 6))), _power12(one, 2)))
    digit1 = _mul12(_conjugate12(common), one)
    digit2 = _mul12(_power12(uu, 6), one)
    result = _mul12(_frobenius12(one), digit2)
    result = _mul12(_frobenius12(result), digit1)
    return _reduced12(_mul12(_frobenius12(result), digit0))


def _reduced12(x: F12) -> F12:
    a, b = ((((c[0][0] % P, c[0][1] % P)), (c[1][0] % P, c[1][1] % P), (c[2][0] % P, c[2][1] % P)) for c in x)
    return a, b
