"""Whatever comes in, the manager's codecs give back values or the one error they promise; what they write, they read."""

import contextlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacnode.privacy.group_ids import group_id
from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.cbor_reader import MalformedCborError, read_cbor
from lacnode.privacy.manager.cbor_records import CborError, encode_map
from lacnode.privacy.manager.encrypted_payload import (
    EncryptedPayload,
    decode_orion_payload,
    decrypt_payload,
    encode_orion_payload,
    encrypt_payload,
    restore_sender_box,
)
from lacnode.privacy.manager.group_record import GroupRecord, decode_orion_group, encode_orion_group
from lacnode.privacy.manager.orion_party_info import PartyInfo, decode_orion_party_info, encode_orion_party_info
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.transaction_manager import GroupType

KEYS = st.binary(min_size=32, max_size=32)
NODES = [KeyPair.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3)]
PAYLOADS = st.builds(
    EncryptedPayload,
    KEYS,
    st.binary(min_size=24, max_size=24),
    st.lists(st.binary(min_size=48, max_size=48), min_size=1, max_size=40).map(tuple),
    st.binary(min_size=16, max_size=500),
    KEYS,
)
RECORDS = st.builds(
    GroupRecord,
    st.lists(KEYS, min_size=1, max_size=9).map(tuple),
    st.text(max_size=20),
    st.text(max_size=20),
    st.booleans(),
    st.just(GroupType.PANTHEON),
    st.binary(max_size=20),
)
VIEWS = st.builds(
    PartyInfo,
    st.none() | st.just("http://a:1/"),
    st.lists(st.integers(1, 65535).map(lambda port: f"http://127.0.0.1:{port}"), max_size=4).map(tuple),
    st.dictionaries(KEYS, st.just("https://b"), max_size=4),
)
SHAPES = st.recursive(
    st.none() | st.integers() | st.text() | st.binary() | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["sender", "nonce", "encryptedKeys", "cipherText", "privacyGroupId", "addresses", "url"])
            | st.text(),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(PAYLOADS)
def test_payload_round_trip(payload: EncryptedPayload) -> None:
    assert decode_orion_payload(encode_orion_payload(payload)) == payload


@given(RECORDS)
def test_group_round_trip(record: GroupRecord) -> None:
    assert decode_orion_group(encode_orion_group(record)) == record


@given(VIEWS)
def test_view_round_trip(view: PartyInfo) -> None:
    assert decode_orion_party_info(encode_orion_party_info(view)) == view


@given(VIEWS, VIEWS)
def test_what_is_known_is_never_replaced_by_what_is_heard(view: PartyInfo, other: PartyInfo) -> None:
    peers = PeerDirectory(())
    peers.add_party_info(view)
    peers.add_party_info(other)
    merged = peers.party_info
    assert {**other.keys, **view.keys} == merged.keys
    assert set(merged.urls) >= set(view.urls) | set(other.urls)
    peers.add_party_info(merged)
    assert peers.party_info == merged


@given(PAYLOADS, st.randoms(use_true_random=False))
def test_order_and_length_form_do_not_matter_but_unknown_fields_do(payload: EncryptedPayload, shuffle: object) -> None:
    fields = list(cbor2.loads(encode_orion_payload(payload)).items())
    shuffle.shuffle(fields)  # type: ignore[attr-defined]
    assert decode_orion_payload(cbor2.dumps(dict(fields))) == payload
    with pytest.raises(CborError, match="unknown"):
        decode_orion_payload(cbor2.dumps({**dict(fields), "extra": 1}))


@given(PAYLOADS, st.data())
def test_truncation_is_refused(payload: EncryptedPayload, data: st.DataObject) -> None:
    whole = encode_orion_payload(payload)
    with pytest.raises(CborError):
        decode_orion_payload(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(SHAPES)
def test_a_value_of_the_protocol_is_read_as_the_general_library_reads_it(value: object) -> None:
    encoded = cbor2.dumps(value)
    with contextlib.suppress(MalformedCborError):
        assert read_cbor(encoded) == cbor2.loads(encoded)


@given(
    st.dictionaries(st.text(max_size=20), st.none() | st.integers(0, 2**64 - 1) | st.text() | st.binary(), max_size=9)
)
def test_what_the_encoder_writes_is_read_equally(fields: dict[str, object]) -> None:
    assert read_cbor(encode_map(fields)) == read_cbor(cbor2.dumps(fields)) == fields


@given(st.binary(max_size=400) | SHAPES.map(cbor2.dumps))
def test_garbage_is_refused(data: bytes) -> None:
    for decode in (decode_orion_payload, decode_orion_group, decode_orion_party_info):
        with contextlib.suppress(CborError):
            decode(data)


@given(st.binary(max_size=2000))
def test_only_parties_read_and_a_sender_can_reclaim(plaintext: bytes) -> None:
    sender, recipient, stranger = NODES
    sealed = encrypt_payload(plaintext, sender, [recipient.public], bytes(32))
    assert decrypt_payload(sealed, recipient) == (0, plaintext)
    assert decrypt_payload(sealed, stranger) is None
    back = restore_sender_box(sealed.with_boxes_at([0]), recipient.public, sender)
    assert back is not None
    assert decrypt_payload(back, sender) == (0, plaintext)
    assert restore_sender_box(sealed.with_boxes_at([0]), recipient.public, stranger) is None


@given(st.lists(KEYS, min_size=1, max_size=6), st.permutations(range(6)))
def test_group_id_knows_neither_order_nor_repetition(members: list[bytes], order: list[int]) -> None:
    shuffled = [members[index] for index in order if index < len(members)]
    assert group_id(members) == group_id([*shuffled, members[0]])
