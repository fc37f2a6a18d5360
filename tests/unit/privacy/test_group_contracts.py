"""Lists of members as strangers' contracts and transactions may give them."""

import tracemalloc

import pytest
from eth_abi.abi import encode

from lacnode.privacy.state.flexible.group_contracts import MAX_FLEXIBLE_MEMBERS, decode_members
from tests.support.private_nodes import KEY_A, KEY_B


def number(value: int) -> bytes:
    return value.to_bytes(32)


def aliased(count: int, size: int) -> bytes:
    """A list of `count` keys whose offsets are all that of one key of `size` bytes."""
    return number(32) + number(count) + number(32 * count) * count + number(size) + bytes(size)


class TestMembers:
    @pytest.mark.parametrize("keys", [(), (KEY_A,), (KEY_A, KEY_B, KEY_A), (b"", KEY_A), (bytes(91),) * 40])
    def test_an_honest_list_is_read(self, keys: tuple[bytes, ...]) -> None:
        assert decode_members(encode(["bytes[]"], [keys])) == keys

    def test_keys_with_one_offset_build_nothing(self) -> None:
        """Half a megabyte would become a gigabyte."""
        encoded = aliased(2_000, 500_000)
        tracemalloc.start()
        try:
            assert decode_members(encoded) == ()
            assert tracemalloc.get_traced_memory()[1] < len(encoded)
        finally:
            tracemalloc.stop()

    def test_more_members_than_a_group_may_have_are_none(self) -> None:
        assert decode_members(encode(["bytes[]"], [[b""] * (MAX_FLEXIBLE_MEMBERS + 1)])) == ()
        assert len(decode_members(encode(["bytes[]"], [[b""] * MAX_FLEXIBLE_MEMBERS]))) == MAX_FLEXIBLE_MEMBERS

    @pytest.mark.parametrize(
        "encoded",
        [
            b"",
            b"\x01",
            number(2**255),
            number(32) + number(2**255),
            number(32) + number(2) + number(2**255) * 2,
            number(0),
            number(32) + number(1) + number(32) + number(2**64) + bytes(32),
            encode(["bytes[]"], [[KEY_A]])[:-1],
        ],
    )
    def test_a_malformed_one_has_none(self, encoded: bytes) -> None:
        assert decode_members(encoded) == ()
