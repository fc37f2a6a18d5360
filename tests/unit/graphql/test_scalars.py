"""What the scalars of GraphQL take and refuse, as Besu's do."""

import pytest

from lacnode.graphql.scalars import READERS, ScalarError, serialize_scalar


@pytest.mark.parametrize(
    ("scalar", "value", "expected"),
    [
        ("Long", 5, 5),
        ("Long", "5", 5),
        ("Long", "0X5", 5),
        ("Long", 2**63 - 1, 2**63 - 1),
        ("BigInt", "0x" + "f" * 64, 2**256 - 1),
        ("BigInt", str(10**20), 10**20),
        ("Bytes", "0x", b""),
        ("Bytes", "0x123", b"\x01\x23"),
        ("Bytes32", "0x04", bytes(31) + b"\x04"),
        ("Address", "0x" + "ab" * 20, b"\xab" * 20),
        ("Address", "AB" * 20, b"\xab" * 20),
    ],
)
def test_takes(scalar: str, value: object, expected: object) -> None:
    assert READERS[scalar](value) == expected


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("Long", -1),
        ("Long", 2**63),
        ("Long", True),
        ("Long", 1.0),
        ("Long", ""),
        ("Long", "0x" + "0" * 100),
        ("Long", "9" * 100_000),
        ("BigInt", 2**256),
        ("BigInt", "0xg"),
        ("BigInt", None),
        ("Bytes", "12"),
        ("Bytes", "0xzz"),
        ("Bytes", 12),
        ("Bytes32", "0x" + "00" * 33),
        ("Address", "0x" + "ab" * 19),
        ("Address", []),
    ],
)
def test_refuses(scalar: str, value: object) -> None:
    with pytest.raises(ScalarError) as refusal:
        READERS[scalar](value)
    assert len(str(refusal.value)) < 300


def test_writes_hexadecimal() -> None:
    assert [serialize_scalar(value) for value in (0, 255, b"", b"\x00\x01")] == ["0x0", "0xff", "0x", "0x0001"]
