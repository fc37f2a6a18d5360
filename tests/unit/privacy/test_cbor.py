"""What the reader of peers' CBOR costs, whatever is in it, and that it reads what Orion's library writes."""

import tracemalloc

import cbor2
import pytest

from lacnode.privacy.keys import to_base64
from lacnode.privacy.manager.cbor_reader import MAX_DEPTH, MalformedCborError, read_cbor
from lacnode.privacy.manager.cbor_records import CborError, decode_map
from lacnode.privacy.manager.orion_party_info import MAX_PARTY_INFO_BYTES, decode_orion_party_info
from tests.property.cbor_fuzz import costly_records

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


@pytest.mark.parametrize("size", [MAX_PARTY_INFO_BYTES, LARGEST])
@pytest.mark.parametrize("name", costly_records(MAX_PARTY_INFO_BYTES))
def test_a_costly_record_builds_little_beside_its_bytes(name: str, size: int) -> None:
    """As many items as are read, in records as long as party info and as payloads may be."""
    record = costly_records(size)[name]
    tracemalloc.start()
    try:
        read_cbor(record)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size + 1.75 * MEGABYTE


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
            {str(number): number for number in range(500)},
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
