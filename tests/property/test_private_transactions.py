"""Private formats under any bytes: what is not one is refused in one way, and what is one survives."""

import base64
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives import rlp
from lacnode.primitives.receipt import Log
from lacnode.primitives.rlp import RlpError
from lacnode.privacy.state.private_records import (
    MarkerRoot,
    PrivateReceipt,
    PrivateStatus,
    decode_marker_roots,
    encode_marker_roots,
)
from lacnode.privacy.state.private_transaction import PrivateTransaction, decode_payload_text, encode_payload_text
from tests.support.private_nodes import private

ADDRESS, HASH = st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32)
KEYS = st.lists(HASH, max_size=4)
ITEMS = st.recursive(st.binary(max_size=40), lambda items: st.lists(items, max_size=14), max_leaves=30)
LOGS = st.builds(Log, ADDRESS, st.lists(HASH, max_size=4).map(tuple), st.binary(max_size=80))


@st.composite
def transactions(draw: st.DrawFn) -> PrivateTransaction:
    key = NodeKey.from_private_key(draw(st.integers(1, 2**250)).to_bytes(32))
    return private(
        key,
        draw(st.integers(0, 2**63 - 1)),
        to=draw(st.none() | ADDRESS),
        data=draw(st.binary(max_size=200)),
        group=draw(st.none() | HASH),
        private_from=draw(HASH),
        private_for=draw(KEYS),
        value=draw(st.integers(0, 2**64)),
        gas=draw(st.integers(0, 2**63 - 1)),
        chain_id=draw(st.none() | st.integers(1, 2**31)),
    )


@given(transactions())
def test_a_transaction_survives_the_manager(transaction: PrivateTransaction) -> None:
    again = decode_payload_text(encode_payload_text(transaction))
    assert (again.raw, again.sender(), again.group_id) == (transaction.raw, transaction.sender(), transaction.group_id)


@given(transactions(), st.data())
def test_one_bit_flipped_is_another_sender_or_nothing(transaction: PrivateTransaction, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, 8 * len(transaction.raw) - 1))
    flipped = bytearray(transaction.raw)
    flipped[position // 8] ^= 1 << position % 8
    try:
        again = PrivateTransaction.decode(bytes(flipped))
        sender = again.sender()
    except ValueError:  # RlpError and SignatureError
        return
    assert sender != transaction.sender()


@given(st.binary(max_size=300) | ITEMS.map(rlp.encode))
def test_any_bytes_are_refused_alike(data: bytes) -> None:
    for payload in (data, base64.b64encode(data)):
        with suppress(RlpError):
            decode_payload_text(payload)


@given(st.sampled_from(PrivateStatus), st.lists(LOGS, max_size=3).map(tuple), st.binary(), st.none() | st.binary())
def test_receipts_survive(status: PrivateStatus, logs: tuple[Log, ...], output: bytes, reason: bytes | None) -> None:
    receipt = PrivateReceipt(status, logs, output, reason)
    assert PrivateReceipt.decode(receipt.encode()) == receipt


@given(st.lists(st.builds(MarkerRoot, HASH, HASH)))
def test_roots_survive(roots: list[MarkerRoot]) -> None:
    assert list(decode_marker_roots(encode_marker_roots(roots))) == roots
