"""`python -m tests.property.cbor_fuzz N [SEED]`: N inputs for every reader of peers' messages, and the slowest of them.

Half are records with bytes changed, cut, doubled or inserted, the rest is made of heads of CBOR items. An input that is
answered by anything but a value or the reader's own error ends the run, with the input in hexadecimal.
"""

import random
import sys
import time
from collections.abc import Callable

from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.bounded_json import parse_bounded_json
from lacnode.privacy.manager.cbor_reader import MalformedCborError, read_cbor
from lacnode.privacy.manager.cbor_records import CborError, encode_array, encode_map
from lacnode.privacy.manager.encrypted_payload import decode_orion_payload, encode_orion_payload, encrypt_payload
from lacnode.privacy.manager.group_record import GroupRecord, decode_orion_group, encode_orion_group
from lacnode.privacy.manager.orion_party_info import PartyInfo, decode_orion_party_info, encode_orion_party_info
from lacnode.privacy.manager.tessera.tessera_encoding import TesseraError
from lacnode.privacy.manager.tessera.tessera_group import decode_tessera_group
from lacnode.privacy.manager.tessera.tessera_party_info import (
    decode_tessera_party_info,
    decode_tessera_party_info_json,
    encode_tessera_party_info,
)
from lacnode.privacy.manager.tessera.tessera_payload import decode_tessera_payload, encode_tessera_payload

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
READERS: tuple[Callable[[bytes], object], ...] = (
    read_cbor,
    decode_orion_payload,
    decode_orion_group,
    decode_orion_party_info,
    decode_tessera_party_info,
    decode_tessera_party_info_json,
    decode_tessera_payload,
    decode_tessera_group,
    parse_bounded_json,
)
EXPECTED = (MalformedCborError, CborError, TesseraError, ValueError)
SLOW_SECONDS = 0.02


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


def main(words: list[str]) -> int:
    count, seed = int(words[0]), int(words[1]) if len(words) > 1 else 1
    source, slowest, begin = random.Random(seed), 0.0, time.monotonic()
    for _ in range(count):
        data = changed(source, source.choice(RECORDS)) if source.random() < 0.5 else heads(source)
        started = time.thread_time()
        for reader in READERS:
            try:
                reader(data)
            except EXPECTED:
                continue
            except BaseException:
                print(f"{reader.__module__}.{reader.__name__} fails for {data.hex()}")
                raise
        slowest = max(slowest, time.thread_time() - started)
    print(f"{count} inputs, {len(READERS)} readers, {time.monotonic() - begin:.0f} s, slowest {slowest * 1000:.1f} ms")
    return 0 if slowest < SLOW_SECONDS * len(READERS) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
