"""What the reader of peers' CBOR costs, whatever is in it, and that it reads what Orion's library writes."""

import contextlib
import inspect
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import cbor2
import pytest

from lacnode.privacy.keys import to_base64
from lacnode.privacy.manager.cbor_reader import MAX_DEPTH, MalformedCborError, read_cbor
from lacnode.privacy.manager.cbor_records import CborError, decode_map
from lacnode.privacy.manager.encrypted_payload import (
    BOX_SIZE,
    MAX_BOXES,
    decode_orion_payload,
    encode_orion_payload,
    encrypt_payload,
)
from lacnode.privacy.manager.group_record import (
    MAX_GROUP_MEMBERS,
    MAX_TEXT_CHARACTERS,
    GroupRecord,
    decode_orion_group,
    encode_orion_group,
)
from lacnode.privacy.manager.orion_party_info import (
    MAX_PARTY_INFO_BYTES,
    MAX_PARTY_INFO_KEYS,
    MAX_PARTY_INFO_URLS,
    PartyInfo,
    decode_orion_party_info,
    encode_orion_party_info,
)
from lacnode.privacy.service.node_routes import MAX_SMALL_REQUEST_BYTES
from lacnode.privacy.transaction_manager import GroupType
from tests.property.cbor_fuzz import WIDE, A, B, costly_records

MEGABYTE = 2**20
LARGEST = 16 * MEGABYTE

BOMBS = {
    "a decimal fraction with a long number": b"\xa1\x61a\xc4\x82\x00\xc2\x5a"
    + (4_000_000).to_bytes(4)
    + bytes(4_000_000),
    "a long number": b"\xa1\x61a\xc2\x5a" + (4_000_000).to_bytes(4) + b"\xff" * 4_000_000,
    "a MIME message": b"\xa1\x61a\xd8\x24\x7a" + (5 * MEGABYTE).to_bytes(4) + b"a" * 5 * MEGABYTE,
    "a regular expression": b"\xa1\x61a\xd8\x23\x64(((a",
    "shared references": b"\xa1\x61a\xd8\x1c\x81\xd8\x1d\x00",
    "empty arrays": b"\x9f" + b"\x80" * (LARGEST - 2) + b"\xff",
    "empty maps with a count": b"\x9a" + (LARGEST - 5).to_bytes(4) + b"\xa0" * (LARGEST - 5),
    "a count that is not true": b"\x9b" + b"\xff" * 8,
    "a length that is not true": b"\x5b\x7f" + b"\xff" * 7,
    "keys": b"\xbf" + b"".join(b"\x64%04x\x00" % number for number in range(65_536)) + b"\xff",
    "chunks of text": b"\x7f" + b"\x61a" * (LARGEST // 2 - 1) + b"\xff",
    "depth": b"\x81" * LARGEST,
    "depth without end": b"\x9f" * LARGEST,
    "maps inside maps": b"\xa1\x61a" * (LARGEST // 3),
    "numbers of eight bytes": b"\x9f" + (b"\x1b" + b"\xff" * 8) * (LARGEST // 9) + b"\xff",
    "a float": b"\xa1\x61a\xfb" + bytes(8),
}
"""The first four took a node that read them by a general library seconds to hours; the arrays took 597 MB for 8 MB."""


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_and_builds_little(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(MalformedCborError):
            read_cbor(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * MEGABYTE


def peak_of(reader: Callable[[bytes], object], data: bytes) -> int:
    """The largest memory in bytes that a reader takes at once, whether it reads `data` or refuses it."""
    tracemalloc.start()
    try:
        with contextlib.suppress(MalformedCborError, CborError):
            reader(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


LIMITS = [MAX_SMALL_REQUEST_BYTES, 65_536, MAX_PARTY_INFO_BYTES, MEGABYTE, LARGEST]
"""The sizes that requests and answers may have, and two between them."""


@pytest.mark.parametrize("size", LIMITS)
@pytest.mark.parametrize("name", costly_records(MAX_PARTY_INFO_BYTES))
def test_a_record_takes_four_times_its_size_at_most(name: str, size: int) -> None:
    assert peak_of(read_cbor, costly_records(size)[name]) <= 4 * size


@pytest.mark.parametrize("size", [1, 100, 1_000, 8_000])
@pytest.mark.parametrize(
    "item", [b"\x80", b"\xa0", b"\x81\x80", b"\xa1\x60\xa0", b"\x19\xff\xff", b"\x62ab", b"\x65a" + WIDE]
)
def test_a_short_record_takes_little(item: bytes, size: int) -> None:
    assert peak_of(read_cbor, b"\x9f" + item * (size // len(item)) + b"\xff") <= 36 * 1024


class TestHonestRecords:
    """The largest ones of the protocol are read, and their values take four times their size at most."""

    def test_a_payload_for_4096_recipients(self) -> None:
        sealed = encrypt_payload(b"short", A, [B.public], bytes(32))
        payload = replace(sealed, boxes=tuple(number.to_bytes(BOX_SIZE) for number in range(MAX_BOXES)))
        encoded = encode_orion_payload(payload)
        assert decode_orion_payload(encoded) == payload
        assert peak_of(decode_orion_payload, encoded) <= 4 * len(encoded)

    @pytest.mark.parametrize("text", ["", "x" * MAX_TEXT_CHARACTERS, "\u00e9" * MAX_TEXT_CHARACTERS, "\u4e2d" * 60_000])
    def test_a_group_of_4096_members(self, text: str) -> None:
        members = tuple(number.to_bytes(32) for number in range(MAX_GROUP_MEMBERS if len(text) < 60_000 else 9))
        record = GroupRecord(members, "name", text, True, GroupType.PANTHEON, bytes(20))
        encoded = encode_orion_group(record)
        assert decode_orion_group(encoded) == record
        assert peak_of(decode_orion_group, encoded) <= 4 * len(encoded)

    def test_a_description_with_characters_that_python_stores_with_four_bytes(self) -> None:
        """It alone may take more: Python stores the whole text with four bytes for each character."""
        text = "x" * (MAX_TEXT_CHARACTERS - 1) + "\U0001f600"
        record = GroupRecord((A.public, B.public), text, text, True, GroupType.PANTHEON, bytes(20))
        encoded = encode_orion_group(record)
        assert decode_orion_group(encoded) == record
        assert peak_of(decode_orion_group, encoded) <= 5.25 * len(encoded)

    @pytest.mark.parametrize("count", [683, 1_366, MAX_PARTY_INFO_KEYS])
    def test_party_info_with_short_urls(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also where the table of the keys has just grown. The URLs that Python remembers do not count."""
        monkeypatch.setattr("lacnode.privacy.manager.orion_party_info.urlsplit", inspect.unwrap(urlsplit))
        urls = tuple(f"http://10.0.{number}:80" for number in range(min(count, MAX_PARTY_INFO_URLS)))
        keys = {number.to_bytes(32): urls[number % len(urls)] for number in range(count)}
        view = PartyInfo(urls[0], urls, keys)
        encoded = encode_orion_party_info(view)
        assert decode_orion_party_info(encoded) == view
        assert peak_of(decode_orion_party_info, encoded) <= 4 * len(encoded)

    def test_a_short_answer_about_64_unknown_groups(self) -> None:
        assert read_cbor(b"\xa1\x66states\x98\x40" + b"\xa0" * 64) == {"states": [{}] * 64}


def test_a_payload_is_copied_once() -> None:
    body = cbor2.dumps({"cipherText": bytes(LARGEST - 100)})
    tracemalloc.start()
    try:
        read_cbor(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.1 * LARGEST


class TestWhatIsRead:
    @pytest.mark.parametrize(
        "value",
        [
            {},
            {"a": None, "b": True, "c": False, "d": b"\x00" * 300, "e": "é" * 300, "f": [1, -1, 2**64 - 1, -(2**64)]},
            {"a": [{"b": [{"c": []}]}]},
            {str(number): number for number in range(250)},
        ],
    )
    def test_as_the_general_library_reads_it(self, value: object) -> None:
        assert read_cbor(cbor2.dumps(value)) == value

    def test_maps_and_arrays_of_indefinite_length(self) -> None:
        assert read_cbor(b"\xbf\x61a\x9f\x01\x02\xff\x61b\xbf\xff\xff") == {"a": [1, 2], "b": {}}

    def test_text_in_chunks_as_jackson_writes_what_is_long(self) -> None:
        parts = ["x" * 3996, "é" * 1998, "end"]
        chunks = b"".join(b"\x79" + len(part.encode()).to_bytes(2) + part.encode() for part in parts)
        assert read_cbor(b"\xbf\x64name\x7f" + chunks + b"\xff\xff") == {"name": "".join(parts)}

    def test_lengths_that_are_longer_than_they_need_to_be(self) -> None:
        """Jackson guesses how many bytes a text will take."""
        assert read_cbor(b"\xbf\x78\x01a\x79\x00\x02bc\xff") == {"a": "bc"}

    def test_as_deep_as_records_are(self) -> None:
        assert read_cbor(b"\x81" * MAX_DEPTH + b"\x01") is not None
        with pytest.raises(MalformedCborError, match="deep"):
            read_cbor(b"\x81" * (MAX_DEPTH + 1) + b"\x01")


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"", "ends before"),
            (b"\xa1\x61a\x01\x00", "bytes follow"),
            (b"\xa2\x61a\x01\x61a\x02", "repeated key"),
            (b"\xbf\x61a\x01\x61a\x02\xff", "repeated key"),
            (b"\xa1\x01\x02", "key that is no text"),
            (b"\xa1\x7f\x61a\xff\x02", "key that is no text"),
            (b"\xa1\x79\x01\x01" + b"a" * 257 + b"\x01", "too long"),
            (b"\x5f\x41a\xff", "length that is not"),
            (b"\x7f\x41a\xff", "part that is no text"),
            (b"\x7f\x7f\x61a\xff\xff", "part that is no text"),
            (b"\x62\xff\xff", "not UTF-8"),
            (b"\xff", "not of the protocol"),
            (b"\xf7", "not of the protocol"),
            (b"\xf8\x20", "not of the protocol"),
            (b"\xf9\x00\x00", "not of the protocol"),
            (b"\xc0\x60", "not of the protocol"),
            (b"\x1c", "length that is not"),
            (b"\x3f", "length that is not"),
        ],
    )
    def test_is_named(self, data: bytes, why: str) -> None:
        with pytest.raises(MalformedCborError, match=why):
            read_cbor(data)
        with pytest.raises(CborError, match=r"^record: "):
            decode_map(data, "record")

    def test_every_truncation(self) -> None:
        whole = b"\xbf\x61a\x9f\x19\x01\x00\x42xy\xff\x61b\x7f\x61a\xff\xff"
        assert read_cbor(whole) == {"a": [256, b"xy"], "b": "a"}
        for end in range(len(whole)):
            with pytest.raises(MalformedCborError):
                read_cbor(whole[:end])


class TestNetworkViews:
    def view(self, count: int) -> bytes:
        keys = {to_base64(number.to_bytes(32)): f"http://192.0.2.1:{number}" for number in range(1, count + 1)}
        return cbor2.dumps({"url": "http://a", "nodeURLs": ["http://a"], "nodePKs": keys})

    def test_larger_than_their_bound_are_not_read(self) -> None:
        assert len(decode_orion_party_info(self.view(2_000)).keys) == 2_000
        with pytest.raises(CborError, match="bytes were expected"):
            decode_orion_party_info(self.view(4_000))

    def test_only_so_many_entries_are_read_and_the_senders_own_keys_first(self) -> None:
        own, others = bytes([9]) * 32, {number.to_bytes(32): f"http://192.0.2.1:{number}" for number in range(1, 50)}
        keys = {to_base64(key): url for key, url in {**others, own: "http://a"}.items()}
        urls = list(others.values())
        data = cbor2.dumps({"url": "http://a", "nodeURLs": urls, "nodePKs": keys})
        view = decode_orion_party_info(data, max_entries=3)
        assert list(view.keys) == [own, *list(others)[:2]]
        assert view.urls == tuple(urls[:3])

    @pytest.mark.parametrize("url", ["http://a\n2026 | WARN | forged", "http://a b", "http://é", "ftp://a", 7])
    def test_an_entry_that_is_no_url_costs_itself_alone(self, url: object) -> None:
        keys = {to_base64(bytes([1]) * 32): url, to_base64(bytes([2]) * 32): "http://b"}
        view = decode_orion_party_info(cbor2.dumps({"url": "http://a", "nodeURLs": [url, "http://b"], "nodePKs": keys}))
        assert (view.urls, dict(view.keys)) == (("http://b",), {bytes([2]) * 32: "http://b"})
