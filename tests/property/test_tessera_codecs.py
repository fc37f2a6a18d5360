"""Whatever comes in, Tessera's codecs give back values or the one error they promise; what they write, they read."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload, decrypt_payload, encrypt_payload
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.manager.orion_party_info import PartyInfo
from lacnode.privacy.manager.tessera.tessera_encoding import TesseraError
from lacnode.privacy.manager.tessera.tessera_group import (
    decode_tessera_group,
    encode_tessera_group,
    has_same_id_at_tessera,
)
from lacnode.privacy.manager.tessera.tessera_key_challenge import answer_key_challenge
from lacnode.privacy.manager.tessera.tessera_party_info import (
    decode_tessera_party_info,
    decode_tessera_party_info_json,
    encode_tessera_party_info,
)
from lacnode.privacy.manager.tessera.tessera_payload import NO_GROUP, decode_tessera_payload, encode_tessera_payload
from lacnode.privacy.transaction_manager import GroupType

KEYS = st.binary(min_size=32, max_size=32)
NONCES = st.binary(min_size=24, max_size=24)
OWN, OTHER = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
PAYLOADS = st.builds(
    EncryptedPayload,
    KEYS,
    NONCES,
    st.lists(st.binary(min_size=48, max_size=48), min_size=1, max_size=9).map(tuple),
    st.binary(min_size=16, max_size=500),
    KEYS | st.just(NO_GROUP),
    NONCES,
)
MEMBERS = st.lists(KEYS, min_size=1, max_size=7).map(tuple)
RECORDS = st.builds(
    GroupRecord, MEMBERS, st.text(max_size=20), st.text(max_size=20), st.booleans(),
    st.just(GroupType.PANTHEON), st.binary(max_size=20),
) | st.builds(
    GroupRecord, MEMBERS, st.text(max_size=20), st.text(max_size=20), st.booleans(),
    st.just(GroupType.LEGACY), st.none(),
)  # fmt: skip
URLS = st.integers(1, 65535).map(lambda port: f"http://127.0.0.1:{port}/")
VIEWS = st.builds(
    PartyInfo, URLS, st.lists(URLS, max_size=4).map(tuple), st.dictionaries(KEYS, URLS, max_size=4)
)  # fmt: skip
FORMS: list[tuple[Callable[[bytes], object], bytes]] = [
    (
        decode_tessera_payload,
        encode_tessera_payload(EncryptedPayload(bytes(32), bytes(24), (bytes(48),), bytes(16), bytes(32)), [bytes(32)]),
    ),
    (
        decode_tessera_group,
        encode_tessera_group(GroupRecord((bytes(32),), "a", "b", True, GroupType.PANTHEON, b"seed")),
    ),
    (
        decode_tessera_party_info,
        encode_tessera_party_info(PartyInfo("http://a", ("http://b",), {bytes(32): "http://a"})),
    ),
]


@given(PAYLOADS)
def test_payload_round_trip(payload: EncryptedPayload) -> None:
    keys = tuple(bytes([number]) * 32 for number, _ in enumerate(payload.boxes))
    for recipients in ((), keys):
        found = decode_tessera_payload(encode_tessera_payload(payload, recipients))
        assert (found.payload, found.recipients) == (payload, recipients)
    with pytest.raises(TesseraError, match="a key for each box"):
        decode_tessera_payload(encode_tessera_payload(payload, (*keys, bytes(32))))


@given(RECORDS)
def test_group_round_trip(record: GroupRecord) -> None:
    assert decode_tessera_group(encode_tessera_group(record)) == record


@given(VIEWS)
def test_party_info_round_trip(view: PartyInfo) -> None:
    assert decode_tessera_party_info(encode_tessera_party_info(view)) == view


@pytest.mark.parametrize("form", FORMS)
@given(st.data())
def test_truncation_length_lies_and_tails_are_refused(
    form: tuple[Callable[[bytes], object], bytes], data: st.DataObject
) -> None:
    decode, whole = form
    with contextlib.suppress(TesseraError):
        # A payload of an old Tessera ends early, before the privacy mode; nothing else may.
        end = data.draw(st.integers(0, len(whole) - 1))
        found = decode(whole[:end])
        assert decode is decode_tessera_payload, end
        assert getattr(found, "payload").group_id == NO_GROUP  # noqa: B009
    with pytest.raises(TesseraError):
        decode(whole + b"\0")
    for length in (-1, 1 << 40, len(whole) * 2):
        with pytest.raises(TesseraError):
            decode((length & (1 << 64) - 1).to_bytes(8) + whole[8:])


@given(st.binary(max_size=400))
def test_garbage_is_refused(data: bytes) -> None:
    for decode in (
        decode_tessera_payload,
        decode_tessera_group,
        decode_tessera_party_info,
        decode_tessera_party_info_json,
    ):
        with contextlib.suppress(TesseraError):
            decode(data)
    with pytest.raises(TesseraError):
        answer_key_challenge(data, KeyRing([OWN]))


@given(st.binary(max_size=60))
def test_nothing_but_a_uuid_is_opened_for_a_stranger(plaintext: bytes) -> None:
    sealed = encode_tessera_payload(
        encrypt_payload(plaintext, OTHER, [OWN.public], NO_GROUP).with_boxes_at([0]), [OWN.public]
    )
    with pytest.raises(TesseraError):
        answer_key_challenge(sealed, KeyRing([OWN]))


@given(PAYLOADS, st.integers(1, 255))
def test_enhanced_privacy_is_refused(payload: EncryptedPayload, value: int) -> None:
    whole = encode_tessera_payload(payload, [])
    group = 0 if payload.group_id == NO_GROUP else 40
    # The privacy mode's byte, and the last one of the count of affected contracts, before the group.
    for position in (len(whole) - group - 9, len(whole) - group - 1):
        changed = bytearray(whole)
        changed[position] = value
        with pytest.raises(TesseraError, match=r"payload\."):
            decode_tessera_payload(bytes(changed))


@given(st.binary(min_size=1, max_size=2000))
def test_ours_in_their_form_opens_as_before(plaintext: bytes) -> None:
    sealed = encrypt_payload(plaintext, OWN, [OTHER.public], bytes(32)).with_boxes_at([0])
    found = decode_tessera_payload(encode_tessera_payload(sealed, [OTHER.public])).payload
    assert found.key == sealed.key
    assert decrypt_payload(found, OTHER) == (0, plaintext)


@given(st.lists(KEYS, min_size=1, max_size=10, unique=True))
def test_up_to_seven_members_are_shareable(members: list[bytes]) -> None:
    assert has_same_id_at_tessera(members) == (len(members) <= 7)
    assert has_same_id_at_tessera(members, bytes(range(20))) == (len(members) <= 7)
    if len(members) > 7:
        record = GroupRecord(tuple(members), "", "", True, GroupType.PANTHEON, bytes(20))
        with pytest.raises(TesseraError, match="another id"):
            decode_tessera_group(encode_tessera_group(record))
