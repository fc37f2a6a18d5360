"""`python -m tests.property.cbor_fuzz N [SEED]`: N inputs for every reader of peers' messages, and the slowest of them.

Half are records with bytes changed, cut, doubled or inserted, the rest is made of heads of CBOR items. An input that is
answered by anything but a value or the reader's own error ends the run, with the input in hexadecimal. Before them each
reader has the most expensive inputs of the largest size that it may get. Status 1 if one of these takes a reader more than
`SLOW_SECONDS`, or another one all readers together as much for each.
"""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.bounded_json import parse_bounded_json
from lacnode.privacy.manager.cbor_reader import (
    MAX_ITEMS,
    MAX_TEXT_BYTES,
    MalformedCborError,
    read_cbor,
)
from lacnode.privacy.manager.cbor_records import CborError, encode_array, encode_map
from lacnode.privacy.manager.encrypted_payload import (
    BOX_SIZE,
    MAX_BOXES,
    MAX_PAYLOAD_BYTES,
    decode_orion_payload,
    encode_orion_payload,
    encrypt_payload,
)
from lacnode.privacy.manager.group_record import (
    MAX_GROUP_MEMBERS,
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
from lacnode.privacy.manager.tessera.tessera_encoding import TesseraError
from lacnode.privacy.manager.tessera.tessera_group import decode_tessera_group
from lacnode.privacy.manager.tessera.tessera_party_info import (
    decode_tessera_party_info,
    decode_tessera_party_info_json,
    encode_tessera_party_info,
)
from lacnode.privacy.manager.tessera.tessera_payload import decode_tessera_payload, encode_tessera_payload
from lacnode.privacy.service.manager_service import MAX_BODY_BYTES
from lacnode.privacy.service.node_routes import MAX_GROUP_REQUEST_BYTES, MAX_PAYLOAD_REQUEST_BYTES
from lacnode.privacy.service.peer_client import MAX_PEER_ANSWER_BYTES

A, B = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
SEALED = encrypt_payload(b"a payload", A, [B.public], bytes(32))
VIEW = PartyInfo("http://a", ("http://a", "http://b:8080"), {A.public: "http://a", B.public: "http://b:8080"})
RECORDS = (
    encode_orion_payload(SEALED),
    encode_orion_group(GroupRecord.legacy((A.public, B.public))),
    encode_orion_party_info(VIEW),
    encode_map({"id": bytes(16), "states": encode_array([encode_map({"number": 7, "root": bytes(32)})])}),
    encode_tessera_party_info(VIEW),
    encode_tessera_payload(SEALED, [B.public, A.public]),
    b'{"keys": [{"key": "", "url": "http://a"}], "url": "http://a"}',
)
READERS: dict[Callable[[bytes], object], int] = {
    read_cbor: MAX_PAYLOAD_REQUEST_BYTES,
    decode_orion_payload: MAX_PAYLOAD_REQUEST_BYTES,
    decode_orion_group: MAX_GROUP_REQUEST_BYTES,
    decode_orion_party_info: MAX_PARTY_INFO_BYTES,
    decode_tessera_party_info: MAX_PARTY_INFO_BYTES,
    decode_tessera_party_info_json: MAX_PEER_ANSWER_BYTES,
    decode_tessera_payload: MAX_PAYLOAD_REQUEST_BYTES,
    decode_tessera_group: MAX_GROUP_REQUEST_BYTES,
    parse_bounded_json: MAX_BODY_BYTES,
}
"""Each reader with the largest input in bytes that its port or its caller gives it."""
EXPECTED = (MalformedCborError, CborError, TesseraError, ValueError)
SLOW_SECONDS = 0.02
WIDE = "\U0001f600".encode()


def changed(source: random.Random, record: bytes) -> bytes:
    """`record` with a few faults."""
    data = bytearray(record)
    for _ in range(source.randint(1, 4)):
        at, kind = source.randrange(len(data) + 1), source.randrange(5)
        if kind == 0:
            data[at : at + 1] = bytes([source.randrange(256)])
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at] = data[at : at + source.randint(1, 64)]
        elif kind == 3:
            data[at:at] = source.randbytes(source.randint(1, 9))
        else:
            del data[at : at + source.randint(1, 16)]
    return bytes(data)


def heads(source: random.Random) -> bytes:
    """Items of every kind, with small, true and false lengths."""
    parts = []
    for _ in range(source.randint(1, 40)):
        kind, low = source.randrange(8), source.choice((0, 1, 2, 5, 23, 24, 25, 26, 27, 28, 31))
        parts.append(bytes([kind << 5 | low]))
        if low in (24, 25, 26, 27):
            width = 1 << low - 24
            parts.append(source.choice((bytes(width), b"\xff" * width, bytes(width - 1) + b"\x04")))
        if kind in (2, 3):
            parts.append(source.randbytes(source.randrange(6)))
    return b"".join(parts)


def costly_records(size: int) -> dict[str, bytes]:
    """Records of `size` bytes that take the reader of CBOR as much time or memory as it lets them: as many items as it
    reads or as there is space for, and the rest in one byte string."""
    text, wide = b"a" * 12 + WIDE, (b"a" * 240 + WIDE) * (min(size, MAX_TEXT_BYTES) // 246 - 1)
    parts = {
        "empty arrays": (b"\x80", 1),
        "empty maps": (b"\xa0", 1),
        "arrays in arrays": (b"\x81\x80", 2),
        "maps in maps": (b"\xa1\x60\xa1\x60\xa0", 5),
        "maps with the names of records": (b"\xa1\x67encoded\x40", 3),
        "nulls": (b"\xf6", 1),
        "empty byte strings": (b"\x40", 1),
        "byte strings of one byte": (b"\x41\xff", 1),
        "numbers of two bytes": (b"\x19\xff\xff", 1),
        "numbers of eight bytes": (b"\x1b" + b"\xff" * 8, 1),
        "texts of two characters": (b"\x62ab", 1),
        "texts with a character of four bytes": (b"\x70" + text, 1),
        "a long text with characters of four bytes": (b"\x7a" + len(wide).to_bytes(4) + wide, MAX_ITEMS),
        "a text in chunks with characters of four bytes": (
            b"\x7f" + (b"\x70" + text) * (len(wide) // 17) + b"\xff",
            MAX_ITEMS,
        ),
        "a map in a map": (b"\xa1\x61a\xbf" + _keys(min(size // 6 - 8, MAX_ITEMS // 2 - 8)) + b"\xff", MAX_ITEMS),
    }
    found = {
        name: item * min(max((MAX_ITEMS - 3) // count, 1), (size - 16) // len(item))
        for name, (item, count) in parts.items()
    }
    return {name: _filled(items, size) for name, items in found.items()} | {"bytes": _filled(b"", size)}


def _keys(count: int) -> bytes:
    """`count` keys of a map with empty maps as values."""
    return b"".join(b"\x64%04x\xa0" % number for number in range(count))


def _filled(items: bytes, size: int) -> bytes:
    """An array of `items` and of one byte string that makes it `size` bytes long."""
    filler = size - len(items) - 7
    return b"\x9f" + items + b"\x5a" + filler.to_bytes(4) + bytes(filler) + b"\xff"


def largest_records() -> dict[Callable[[bytes], object], bytes]:
    """For the readers of Orion's records the good one with the most entries."""
    keys = [number.to_bytes(32) for number in range(1, MAX_GROUP_MEMBERS + 1)]
    boxes = (bytes(BOX_SIZE),) * MAX_BOXES
    payload = replace(SEALED, boxes=boxes, cipher_text=bytes(MAX_PAYLOAD_BYTES))
    urls = tuple(f"http://{number}:80" for number in range(MAX_PARTY_INFO_URLS))
    places = {key: urls[number % len(urls)] for number, key in enumerate(keys[:MAX_PARTY_INFO_KEYS])}
    return {
        decode_orion_payload: encode_orion_payload(payload),
        decode_orion_group: encode_orion_group(GroupRecord.legacy(tuple(keys))),
        decode_orion_party_info: encode_orion_party_info(PartyInfo(urls[0], urls, places)),
    }


def seconds_of(reader: Callable[[bytes], object], data: bytes) -> float:
    """The processor time that a reader takes for `data`. Its own errors are answers."""
    started = time.thread_time()
    try:
        reader(data)
    except EXPECTED:
        pass
    except BaseException:
        print(f"{reader.__module__}.{reader.__name__} fails for {data[:10_000].hex()}")
        raise
    return time.thread_time() - started


def main(words: list[str]) -> int:
    count, seed = int(words[0]), int(words[1]) if len(words) > 1 else 1
    source, slowest, begin = random.Random(seed), 0.0, time.monotonic()
    # The least of three: the first one has the memory from the system, which takes longer than the reading.
    costly = [(reader, *one) for reader, size in READERS.items() for one in costly_records(size).items()]
    costly += [(reader, "the most entries", data) for reader, data in largest_records().items()]
    largest = max(
        (min(seconds_of(reader, data) for _ in range(3)), f"{reader.__name__} of {name}")
        for reader, name, data in costly
    )
    for _ in range(count):
        data = changed(source, source.choice(RECORDS)) if source.random() < 0.5 else heads(source)
        slowest = max(slowest, sum(seconds_of(reader, data) for reader in READERS))
    print(f"{count} inputs, {len(READERS)} readers, {time.monotonic() - begin:.0f} s, slowest {slowest * 1000:.1f} ms")
    print(f"the largest inputs: slowest {largest[0] * 1000:.1f} ms, {largest[1]}")
    return 0 if slowest < SLOW_SECONDS * len(READERS) and largest[0] < SLOW_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
