"""Whatever is encoded comes back, and whatever comes from outside is understood or refused with an RlpError."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from lacnode.consensus.bft.extra_data import ExtraData, Vote, VoteType
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.messages import Commit, Message, Prepare, RoundChange, round_id_of
from lacnode.consensus.bft.payloads import CommitPayload, PreparePayload, RoundChangePayload, RoundId
from lacnode.consensus.ibft2.extra_data import decode_extra_data, encode_extra_data
from lacnode.consensus.ibft2.messages import decode_message, encode_message
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import CURVE_ORDER
from lacnode.primitives.rlp import RlpError
from tests.support.ibft2_blocks import IBFT2_ONLY, decode_envelope
from tests.unit.consensus.test_network import (
    FOUR,
    A,
    C,
    D,
    addresses,
    commit,
    make_block,
    prepare,
    prepared_by,
    propose,
    round_change,
    signed,
)

VALIDATORS = addresses(FOUR)
addresses_ = st.binary(min_size=20, max_size=20)
digests = st.binary(min_size=32, max_size=32)
round_ids = st.builds(RoundId, st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
scalars = st.integers(1, CURVE_ORDER - 1).map(lambda value: value.to_bytes(32))
seals = st.tuples(scalars, scalars, st.sampled_from([b"\x00", b"\x01"])).map(b"".join)
extra_datas = st.builds(
    ExtraData,
    st.binary(max_size=40),
    st.lists(addresses_, max_size=6).map(tuple),
    st.none() | st.builds(Vote, addresses_, st.sampled_from(VoteType)),
    st.integers(-(2**31), 2**31 - 1),
    st.lists(seals, max_size=4).map(tuple),
)


GENESIS = make_block(None, bytes(20), VALIDATORS).header
FIRST = propose(A, make_block(GENESIS, A.address, VALIDATORS))
SHOWN = prepared_by(FIRST, C, D)
JUSTIFICATION = [round_change(A, 1), round_change(C, 1, SHOWN), round_change(D, 1)]
LATER = propose(C, make_block(GENESIS, C.address, VALIDATORS, 1), JUSTIFICATION)
MESSAGES: list[Message] = [FIRST, prepare(C, FIRST), commit(D, FIRST), *JUSTIFICATION[:2], LATER]
RECORDS = [
    Journal(IBFT2_ONLY).record_prepared(SHOWN),
    *(Journal(IBFT2_ONLY).check_and_record(message.signed.payload) for message in JUSTIFICATION),
]


@given(extra_datas)
def test_extra_data_comes_back(extra: ExtraData) -> None:
    assert decode_extra_data(encode_extra_data(extra)) == extra


@given(st.sampled_from(FOUR), round_ids, digests)
def test_messages_come_back(key: NodeKey, round_id: RoundId, digest: bytes) -> None:
    messages: list[Message] = [
        Prepare(signed(PreparePayload(round_id, digest), key)),
        Commit(signed(CommitPayload(round_id, digest), key)),
        RoundChange(signed(RoundChangePayload(round_id), key)),
    ]
    for message in messages:
        assert decode_message(message.kind, encode_message(message)) == message
        assert decode_envelope(message.kind, encode_message(message)) == (round_id, key.address)


def test_the_messages_below_come_back() -> None:
    for message in MESSAGES:
        assert decode_message(message.kind, encode_message(message)) == message
        assert decode_envelope(message.kind, encode_message(message)) == (round_id_of(message), message.signed.author)


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_no_extra_data_or_canonical(data: bytes) -> None:
    with suppress(RlpError):
        assert encode_extra_data(decode_extra_data(data)) == data


@given(st.integers(0, 5), st.binary(max_size=300))
def test_bytes_of_any_kind_are_refused_as_messages(code: int, data: bytes) -> None:
    with suppress(RlpError):
        decode_envelope(code, data)
    with suppress(RlpError):
        assert encode_message(decode_message(code, data)) == data


@given(st.sampled_from(MESSAGES), st.data())
def test_a_garbled_message_is_refused_or_another_message(message: Message, data: st.DataObject) -> None:
    encoded = bytearray(encode_message(message))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    garbled = bytes(encoded[: data.draw(st.integers(0, len(encoded)))]) if data.draw(st.booleans()) else bytes(encoded)
    with suppress(RlpError):
        assert encode_message(decode_message(message.kind, garbled)) == garbled


@given(st.sampled_from(RECORDS), st.data())
def test_a_garbled_record_is_refused_or_restored(record: bytes, data: st.DataObject) -> None:
    encoded = bytearray(record)
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RlpError):
        Journal.restore([bytes(encoded)], IBFT2_ONLY)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_no_record_or_restored(data: bytes) -> None:
    with suppress(RlpError):
        Journal.restore([data], IBFT2_ONLY)
