"""Every QBFT vector: extra data, headers and messages as Besu's own classes encode them, and a message of GoQuorum."""

import json
from pathlib import Path
from typing import Any

import pytest

from lacnode.consensus.bft.blocks import seal_digest
from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.message_rules import check_commit
from lacnode.consensus.bft.messages import Commit, Proposal, RoundChange, decode_whole, round_id_of
from lacnode.consensus.qbft.message_validation import check_proposal, check_round_change
from lacnode.consensus.qbft.payloads import CODES, encode_payload
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import from_hex

FILE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "qbft-messages.json"
VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text()) if FILE.exists() else []
pytestmark = pytest.mark.skipif(not VECTORS, reason="the folder `shared` beside the repository is absent")

VALIDATORS = tuple(sorted(NodeKey.from_private_key(number.to_bytes(32)).address for number in range(1, 5)))
COMMITTEE = Committee(1, VALIDATORS, bytes(20), proposer_prepares=True)


def kind_of(vector: dict[str, Any]) -> str:
    """Which test below the vector belongs to."""
    if "message_code" in (vector["fields"] or {}):
        return "message"
    return "header" if vector["hash_hex"] else "extra data"


def of_kind(kind: str) -> list[Any]:
    return [
        pytest.param(vector, id=f"{number}: {vector['description'][:60]}")
        for number, vector in enumerate(VECTORS)
        if kind_of(vector) == kind
    ]


def test_no_vector_is_left_out() -> None:
    kinds = [kind_of(vector) for vector in VECTORS]
    assert {kind: kinds.count(kind) for kind in kinds} == {"extra data": 4, "header": 3, "message": 15}
    assert all(vector["valid"] for vector in VECTORS)


@pytest.mark.parametrize("vector", of_kind("extra data"))
def test_extra_data(vector: dict[str, Any]) -> None:
    data = from_hex(vector["rlp_hex"])
    assert QBFT.encode_extra_data(QBFT.decode_extra_data(data)) == data


@pytest.mark.parametrize("vector", of_kind("header"))
def test_header(vector: dict[str, Any]) -> None:
    header = BlockHeader.decode(from_hex(vector["rlp_hex"]))
    assert header.encode() == from_hex(vector["rlp_hex"])
    assert QBFT.block_hash(header) == from_hex(vector["hash_hex"])
    fields = vector["fields"]
    assert QBFT.block_hash(header) == from_hex(fields.get("onchain_hash", vector["hash_hex"]))
    assert QBFT.committed_seal_hash(header) == from_hex(fields.get("commit_digest", vector["hash_hex"]))
    assert QBFT.encode_extra_data(QBFT.decode_extra_data(header.extra_data)) == header.extra_data


@pytest.mark.parametrize("vector", of_kind("message"))
def test_message(vector: dict[str, Any]) -> None:
    """Decoded, encoded and signed again, a message has the same bytes, hash and author."""
    data, fields = from_hex(vector["rlp_hex"]), vector["fields"]
    envelope = QBFT.codec.open_message(fields["message_code"], data)
    message = decode_whole(envelope)
    payload = message.signed.payload
    assert QBFT.codec.encode_message(message) == data
    assert CODES[message.kind] == fields["message_code"]
    assert QBFT.codec.signature_hash(payload) == from_hex(vector["hash_hex"])
    assert envelope.author == message.signed.author == from_hex(fields["author"])
    if "payload_rlp" in fields:
        assert encode_payload(payload) == from_hex(fields["payload_rlp"])
        assert (round_id_of(message).sequence, round_id_of(message).round) == (fields["sequence"], fields["round"])
        key = NodeKey.from_private_key(from_hex(vector["private_key"]))
        assert key.sign(QBFT.codec.signature_hash(payload)) == message.signed.signature == from_hex(fields["signature"])
    if "digest" in fields:
        assert getattr(payload, "digest", None) == from_hex(fields["digest"])


@pytest.mark.parametrize("vector", of_kind("message"))
def test_message_is_valid_at_height_1(vector: dict[str, Any]) -> None:
    """The validators of the vectors accept every message of theirs, in the old and in the new form of Besu."""
    fields = vector["fields"]
    message = decode_whole(QBFT.codec.open_message(fields["message_code"], from_hex(vector["rlp_hex"])))
    if isinstance(message, Proposal):
        check_proposal(COMMITTEE, message)
        digest = seal_digest(QBFT, message.block, round_id_of(message).round)
        assert digest == from_hex(fields.get("commit_digest", fields["digest"]))
    elif isinstance(message, RoundChange):
        check_round_change(COMMITTEE, message)
    elif isinstance(message, Commit):
        check_commit(COMMITTEE, message.signed, round_id_of(message), from_hex(fields["digest"]))


def test_seals_of_the_sealed_header_are_those_of_the_commits() -> None:
    sealed = next(vector for vector in VECTORS if vector["description"].startswith("QBFT sealed header"))
    header = BlockHeader.decode(from_hex(sealed["rlp_hex"]))
    seals = QBFT.decode_extra_data(header.extra_data).seals
    commits = {from_hex(vector["fields"]["commit_seal"]) for vector in VECTORS if "commit_seal" in vector["fields"]}
    assert set(seals) == commits
    assert seal_digest(QBFT, Block(header, BlockBody()), 0) == from_hex(sealed["fields"]["commit_digest"])
