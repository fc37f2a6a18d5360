"""Every IBFT 2.0 vector: extra data, headers, payloads and messages as Besu 24.1.0's own classes encode them."""

import json
from pathlib import Path
from typing import Any

import pytest

from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.header_rules import check_seals
from lacnode.consensus.bft.messages import Proposal, RoundChange
from lacnode.consensus.bft.payloads import PreparePayload, RoundId
from lacnode.consensus.bft.proposer import proposer_for
from lacnode.consensus.ibft2.block_hash import committed_seal_hash, on_chain_hash
from lacnode.consensus.ibft2.extra_data import (
    decode_extra_data,
    encode_extra_data,
    encode_without_seals,
    encode_without_seals_and_round,
)
from lacnode.consensus.ibft2.message_validation import check_proposal, check_round_change
from lacnode.consensus.ibft2.messages import decode_message, encode_message
from lacnode.consensus.ibft2.payloads import (
    PREPARE,
    certificate_fields,
    decode_prepared_certificate,
    encode_payload,
    signature_hash,
    signed_proposal,
)
from lacnode.consensus.ibft2.protocol import IBFT2
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import recover_address, sign
from lacnode.primitives import rlp
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import from_hex
from lacnode.primitives.rlp import RlpError
from tests.support.ibft2_blocks import decode_envelope, sign_payload

FILE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "ibft2-messages.json"
VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text()) if FILE.exists() else []
pytestmark = pytest.mark.skipif(not VECTORS, reason="the folder `shared` beside the repository is absent")

VALIDATORS = tuple(sorted(NodeKey.from_private_key(number.to_bytes(32)).address for number in range(1, 5)))
COMMITTEE = Committee(1, VALIDATORS, bytes(20))
SINGULAR = {0: "address book", 20: "certificate", 23: "payload", 26: "proposers"}


def of_kind(*kinds: str) -> list[Any]:
    return [
        pytest.param(vector, id=f"{number}: {vector['description'][:60]}")
        for number, vector in enumerate(VECTORS)
        if kind_of(number, vector) in kinds
    ]


def kind_of(number: int, vector: dict[str, Any]) -> str:
    """Which test below the vector belongs to."""
    fields, description = vector["fields"] or {}, vector["description"]
    if number in SINGULAR:
        return SINGULAR[number]
    if not vector["valid"]:
        return "invalid extra data" if "extraData" in description else "invalid prepare"
    if "message_code" in fields:
        return "message"
    return "header" if vector["hash_hex"] else "extra data"


def test_no_vector_is_left_out() -> None:
    kinds = [kind_of(number, vector) for number, vector in enumerate(VECTORS)]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "address book": 1,
        "extra data": 5,
        "header": 9,
        "message": 12,
        "certificate": 1,
        "payload": 1,
        "proposers": 1,
        "invalid extra data": 4,
        "invalid prepare": 3,
    }


def test_addresses() -> None:
    fields = VECTORS[0]["fields"]
    for number in range(1, 5):
        key = NodeKey.from_private_key(number.to_bytes(32))
        assert key.address == from_hex(fields[str(number)]["address"])
        assert key.public_key == from_hex(fields[str(number)]["public_key"])
    assert tuple(map(from_hex, fields["sorted_validators"])) == VALIDATORS


@pytest.mark.parametrize("vector", of_kind("extra data"))
def test_extra_data(vector: dict[str, Any]) -> None:
    data, mode = from_hex(vector["rlp_hex"]), vector["fields"].get("mode", "ALL")
    if mode == "ALL":
        assert encode_extra_data(decode_extra_data(data)) == data
        return
    full = decode_extra_data(from_hex(VECTORS[1]["rlp_hex"]))
    assert data == (encode_without_seals(full) if mode == "NO_SEALS" else encode_without_seals_and_round(full))
    with pytest.raises(RlpError):
        decode_extra_data(data)


@pytest.mark.parametrize("vector", of_kind("invalid extra data"))
def test_extra_data_that_besu_refuses(vector: dict[str, Any]) -> None:
    with pytest.raises(RlpError):
        decode_extra_data(from_hex(vector["rlp_hex"]))


@pytest.mark.parametrize("vector", of_kind("header"))
def test_headers(vector: dict[str, Any]) -> None:
    data, fields = from_hex(vector["rlp_hex"]), vector["fields"]
    header = BlockHeader.decode(data)
    assert header.encode() == data
    hashes = {on_chain_hash(header), committed_seal_hash(header)}
    assert from_hex(vector["hash_hex"]) in hashes
    if "onchain_hash" in fields:
        assert on_chain_hash(header) == from_hex(fields["onchain_hash"])
    if "committed_seal_hash" in fields:
        assert on_chain_hash(header) == from_hex(vector["hash_hex"])
        assert committed_seal_hash(header) == from_hex(fields["committed_seal_hash"])
    if "seals" in fields:
        assert [seal.hex() for seal in decode_extra_data(header.extra_data).seals] == [
            seal.removeprefix("0x") for seal in fields["seals"]
        ]
    if "recovered" in fields:
        sealer = recover_address(committed_seal_hash(header), from_hex(fields["seal"]))
        assert sealer == header.coinbase == from_hex(fields["recovered"])
        check_seals(IBFT2, header, (sealer,))


def test_seals_of_the_sealed_header() -> None:
    check_seals(IBFT2, BlockHeader.decode(from_hex(VECTORS[15]["rlp_hex"])), VALIDATORS)


def test_seals_are_deterministic() -> None:
    fields = VECTORS[6]["fields"]
    for number, seal in enumerate(fields["seals"], 1):
        assert sign(from_hex(fields["committed_seal_hash"]), number.to_bytes(32)) == from_hex(seal)


@pytest.mark.parametrize("vector", of_kind("message"))
def test_messages(vector: dict[str, Any]) -> None:
    """Decoding, encoding, the author, the hash under the signature, and the signature made anew."""
    data, fields = from_hex(vector["rlp_hex"]), vector["fields"]
    code = fields["message_code"]
    message = decode_message(code, data)
    assert encode_message(message) == data
    payload = message.signed.payload
    assert payload.round_id == RoundId(fields["sequence"], fields["round"])
    assert decode_envelope(code, data) == (payload.round_id, from_hex(fields["author"]))
    assert message.signed.author == from_hex(fields["author"])
    assert signature_hash(payload) == from_hex(vector["hash_hex"])
    assert encode_payload(payload) == from_hex(fields["payload_rlp"])
    again = sign_payload(payload, NodeKey.from_private_key(from_hex(vector["private_key"])))
    assert again.signature == message.signed.signature == from_hex(fields["signature"])


@pytest.mark.parametrize("vector", of_kind("message"))
def test_messages_are_valid_at_their_height(vector: dict[str, Any]) -> None:
    message = decode_message(vector["fields"]["message_code"], from_hex(vector["rlp_hex"]), VALIDATORS.__contains__)
    if isinstance(message, Proposal):
        check_proposal(COMMITTEE, message)
    if isinstance(message, RoundChange):
        check_round_change(COMMITTEE, message)


@pytest.mark.parametrize("vector", of_kind("invalid prepare"))
def test_prepares_that_besu_refuses(vector: dict[str, Any]) -> None:
    data = from_hex(vector["rlp_hex"])
    with pytest.raises(RlpError):
        decode_message(PREPARE, data)
    with pytest.raises(RlpError):
        decode_envelope(PREPARE, data)


def test_prepared_certificate() -> None:
    data = from_hex(VECTORS[20]["rlp_hex"])
    certificate = decode_prepared_certificate(rlp.decode(data))
    assert rlp.encode(certificate_fields(certificate)) == data
    assert signed_proposal(certificate).payload.digest == from_hex(VECTORS[20]["fields"]["digest"])
    assert [prepare.author for prepare in certificate.prepares] == [VALIDATORS[1], VALIDATORS[2]]


def test_a_payload_with_a_negative_round() -> None:
    round_ = int.from_bytes(bytes.fromhex("fedcba98"), signed=True)
    payload = PreparePayload(RoundId(0x1234567890ABCDEF, round_), b"\x11" * 32)
    assert encode_payload(payload) == from_hex(VECTORS[23]["rlp_hex"])


def test_proposers() -> None:
    fields = VECTORS[26]["fields"]
    validators = tuple(map(from_hex, fields["validators"]))
    for row in fields["table"]:
        turns = [proposer_for(validators, from_hex(row["previous_coinbase"]), round_) for round_ in range(5)]
        assert turns == [from_hex(row[f"round_{round_}"]) for round_ in range(5)]
