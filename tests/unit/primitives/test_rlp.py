"""Strict RLP: what Besu's reader refuses is refused, and nothing that a peer sends can take the process down."""

import tracemalloc

import pytest
import rusty_rlp
from hypothesis import given
from hypothesis import strategies as st

from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpFields

values = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=5), max_leaves=30)


@given(st.lists(st.binary(max_size=300), max_size=300))
def test_a_list_is_its_header_and_its_content(values: list[bytes]) -> None:
    content = b"".join(rlp.encode(value) for value in values)
    assert rlp.wrap_list(content) == rlp.encode(values)
    assert rlp.list_content(rlp.encode(values)) == content


@given(values)
def test_what_is_encoded_decodes_to_itself(value: rlp.RlpValue) -> None:
    assert rlp.decode(rlp.encode(value)) == value


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except RlpError:
        return
    assert rlp.encode(item) == data, "only the one canonical encoding of an item is accepted"


@given(st.one_of(values.map(rlp.encode), st.binary(min_size=1, max_size=300)), st.data())
def test_few_large_items_are_read_by_the_same_rules(data: bytes, drawn: st.DataObject) -> None:
    """Large items are cut out by another function than small ones."""
    at = drawn.draw(st.integers(0, len(data) - 1))
    for read in (data, data[:at], data[:at] + drawn.draw(st.binary(max_size=2)) + data[at + 1 :]):
        assert outcome(read, is_large=True) == outcome(read, is_large=False)


def outcome(data: bytes, *, is_large: bool) -> object:
    """None for what is refused."""
    try:
        return rlp._decode_checked(data, is_large=is_large)
    except RlpError:
        return None


def test_a_large_item_is_not_copied_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder would hold the interpreter for a third of a second for eleven megabytes."""
    message: list[rlp.RlpValue] = [b"\x01", bytes(11_000_000), [b"key"], b""]
    encoded = rlp.encode(message)
    monkeypatch.setattr("lacnode.primitives.rlp.rusty_rlp.decode_raw", None)
    assert rlp.decode(encoded) == message


def test_a_large_item_takes_its_length_once() -> None:
    """Attack: payloads of 15 MB for a manager. To encode the item again, as a check, took three times its length."""
    encoded = rlp.encode([b"\x01", bytes(11_000_000)])
    tracemalloc.start()
    try:
        rlp.decode(encoded)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1.5 * len(encoded)


@given(values, st.data())
def test_a_long_list_is_read_in_parts_by_the_same_rules(value: rlp.RlpValue, drawn: st.DataObject) -> None:
    data = rlp.encode([value, value, b"\x01" * 90])
    at = drawn.draw(st.integers(0, len(data) - 1))
    changed = data[:at] + drawn.draw(st.binary(max_size=2)) + data[at + 1 :]
    for read in (data, changed, data[:at]):
        whole = outcome(read, is_large=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rlp, "_DECODED_AT_ONCE_BYTES", 16)
            assert outcome(read, is_large=False) == whole


@pytest.mark.parametrize(
    "message",
    [
        [b"\x01" * 60] * 20_000,
        [[[b"a" * 100] * 10_000, b""], b"\x01"],
        [b"\x01"] * 900_000,
        [[b"\x01"] * 5] * 100_000,
        [bytes(300_000), *[b"a" * 100] * 10_000],
    ],
)
def test_the_decoder_gets_little_at_once(message: rlp.RlpValue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: a validator sends 16 MiB of short items. The decoder would hold the interpreter for most of a second, also in
    a thread."""
    encoded, lengths = rlp.encode(message), []
    decode_raw = rusty_rlp.decode_raw

    def watched(data: bytes, *arguments: bool) -> object:
        lengths.append(len(data))
        return decode_raw(data, *arguments)

    monkeypatch.setattr("lacnode.primitives.rlp.rusty_rlp.decode_raw", watched)
    assert rlp.decode(encoded) == message
    assert max(lengths) <= rlp._DECODED_AT_ONCE_BYTES + 10


def test_lists_in_lists_take_no_memory_for_each_level() -> None:
    """Attack: a peer sends megabytes in thirty lists. With a copy for each level, 15 MB would take 450 MB."""
    data = rlp.encode([b"a" * 100] * 20_000)
    for _ in range(rlp.MAX_DEPTH - 1):
        data = rlp.list_of_encoded(data)
    tracemalloc.start()
    try:
        rlp.decode(data)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10 * len(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("c0c0", "bytes after the item"),
        ("8100", "a single byte below 0x80 with a prefix"),
        ("b80161", "a short string in the long form"),
        ("f800", "a short list in the long form"),
        ("b90001", "a length with a leading zero"),
        ("8261", "a string cut short"),
        ("c20081", "a string at a list's end that announces more than the list has"),
        ("c26161ff", "a byte too many"),
        ("c3", "a list cut short"),
        ("bfffffffffffffffff", "a length beyond all memory"),
        ("", "nothing"),
    ],
)
def test_refuses(data: str, why: str) -> None:
    with pytest.raises(RlpError):
        rlp.decode(bytes.fromhex(data))


def nested(levels: int) -> bytes:
    """`levels` lists inside each other."""
    parts: list[bytes] = []
    size = 0
    for _ in range(levels):
        width = (size.bit_length() + 7) // 8
        header = bytes([0xC0 + size]) if size < 56 else bytes([0xF7 + width]) + size.to_bytes(width)
        parts.append(header)
        size += len(header)
    return b"".join(reversed(parts))


@pytest.mark.parametrize("levels", [5_000, 100_000, 1_000_000])
def test_a_message_of_nested_lists_is_refused_before_it_overflows_a_stack(levels: int) -> None:
    with pytest.raises(RlpError, match="nested"):
        rlp.decode(nested(levels))


def test_nesting_is_found_behind_long_strings_and_lying_lengths() -> None:
    hidden = rlp.encode([b"\xff" * 6_000, [b"x"]])
    assert rlp.decode(hidden) == [b"\xff" * 6_000, [b"x"]]
    with pytest.raises(RlpError):
        rlp.decode(b"\xf9\xff\xff" + b"\xff" * 5_000)
    with pytest.raises(RlpError):
        rlp.decode(b"\xc0" * 5_000)


def test_fields_name_what_is_wrong() -> None:
    fields = RlpFields([b"\x00\x01", b"ab", []], "thing")
    with pytest.raises(RlpError, match=r"thing\.count: integer with leading zero"):
        fields.scalar("count")
    with pytest.raises(RlpError, match=r"thing\.hash: 32 bytes were expected, found 2"):
        fields.bytes("hash", 32)
    with pytest.raises(RlpError, match=r"thing\.name: a byte string was expected, found a list"):
        fields.bytes("name")
    with pytest.raises(RlpError, match="ends before more"):
        fields.item("more")


def test_scalars_are_minimal() -> None:
    assert [rlp.encode_scalar(n) for n in (0, 1, 127, 256)] == [b"", b"\x01", b"\x7f", b"\x01\x00"]
    with pytest.raises(RlpError, match="at most 8 bytes"):
        rlp.as_scalar(b"\x01" * 9, "number", 8)


@pytest.mark.parametrize("item", [b"\x80", b"\x00", b"\x7f", b"\x81\x80"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_message_of_millions_of_items_is_refused_before_they_are_made(item: bytes, nested: bool) -> None:
    def in_a_list(payload: bytes) -> bytes:
        return b"\xfa" + len(payload).to_bytes(3) + payload

    data = in_a_list(item * (rlp.MAX_ITEMS + 1))
    with pytest.raises(rlp.TooManyItemsError):
        rlp.decode(in_a_list(data) if nested else data)
    assert len(rlp.decode_list(in_a_list(item * (rlp.MAX_ITEMS // 2)), "many")) == rlp.MAX_ITEMS // 2


def test_what_is_stored_has_a_larger_bound_and_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = rlp.encode([[bytes(20), [], b""]] * (rlp.MAX_LISTS // 2 + 1))
    with pytest.raises(rlp.TooManyItemsError):
        rlp.decode(logs)
    assert len(rlp.decode_stored_list(logs, "logs")) == rlp.MAX_LISTS // 2 + 1
    monkeypatch.setattr(rlp, "MAX_STORED_LISTS", rlp.MAX_LISTS)
    with pytest.raises(rlp.TooManyItemsError):
        rlp.decode_stored_list(logs, "logs")


def test_what_is_stored_may_not_be_nested_deeper() -> None:
    data = b""
    for _ in range(5_000):
        data = rlp.encode([data]) if not data else b"\xf9" + len(data).to_bytes(2) + data
    with pytest.raises(rlp.RlpError, match="nested deeper"):
        rlp.decode_stored_list(data, "logs")
