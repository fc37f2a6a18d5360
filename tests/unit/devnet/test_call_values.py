"""Numbers as the tools of developers send them to the developer endpoint."""

import pytest

from lacnode.devnet.call_values import parse_quantity
from lacnode.rpc.errors import RpcError


@pytest.mark.parametrize(
    ("value", "number"), [(7, 7), ("7", 7), ("007", 7), ("0x1f", 31), ("0x001F", 31), ("0x" + "f" * 16, 2**64 - 1)]
)
def test_numbers_and_texts_of_ascii_digits_are_quantities(value: object, number: int) -> None:
    assert parse_quantity(value) == number


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        1.5,
        -1,
        2**64,
        "",
        "0x",
        "-1",
        "+1",
        " 1",
        "1\n",
        "1_000",
        "0x_1",
        "0x 1",
        "\u0661",
        "\uff11",
        "1e3",
        "1f",
        [],
    ],
)
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(RpcError) as refused:
        parse_quantity(value)
    assert refused.value.code == -32602
    assert str(refused.value.data).startswith("a quantity was expected, not ")


def test_a_balance_may_have_256_bits() -> None:
    assert parse_quantity(str(2**256 - 1), 256) == 2**256 - 1
    with pytest.raises(RpcError):
        parse_quantity(hex(2**256), 256)
