"""The outputs of REVERT of one block's transactions."""

import pytest

from lacnode.evm.revert_reasons import MAX_BLOCK_REASON_BYTES, RevertReasons

HALF = bytes(MAX_BLOCK_REASON_BYTES // 2)


@pytest.mark.parametrize(
    ("outputs", "kept"),
    [
        ([], []),
        ([None, None], [None, None]),
        ([None, b"", b"no"], [None, b"", b"no"]),
        ([HALF, None, HALF, b"more", b""], [HALF, None, HALF, None, b""]),
        ([HALF, HALF + b"1", b"no"], [HALF, None, b"no"]),
    ],
)
def test_outputs_added_at_once_are_those_added_one_by_one(
    outputs: list[bytes | None], kept: list[bytes | None]
) -> None:
    at_once, one_by_one = RevertReasons(), RevertReasons()
    at_once.add_all(outputs)
    for output in outputs:
        one_by_one.add(output)
    assert at_once.as_tuple() == one_by_one.as_tuple() == tuple(kept)
