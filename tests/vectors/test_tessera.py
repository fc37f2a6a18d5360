"""What a real Tessera 21.1.1 in orion mode sent, byte for byte: pushes, groups, party info, its question for a key, and a
payload that it gave back. Recorded once, from the two key pairs in the file."""

import json
from pathlib import Path

import pytest

from lacnode.privacy.keys import KeyPair, KeyRing, from_base64
from lacnode.privacy.manager.encrypted_payload import decrypt_payload
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.manager.tessera.tessera_group import decode_tessera_group, encode_tessera_group
from lacnode.privacy.manager.tessera.tessera_key_challenge import answer_key_challenge
from lacnode.privacy.manager.tessera.tessera_party_info import (
    decode_tessera_party_info,
    decode_tessera_party_info_json,
    encode_tessera_party_info,
)
from lacnode.privacy.manager.tessera.tessera_payload import NO_GROUP, decode_tessera_payload, encode_tessera_payload
from lacnode.privacy.transaction_manager import GroupType

RECORDED: dict[str, str] = json.loads((Path(__file__).parent / "tessera.json").read_text())
TESSERA, OWN = (
    KeyPair.from_private_bytes(bytes.fromhex(RECORDED[name])) for name in ("tesseraPrivateKey", "ownPrivateKey")
)
TESSERA_URL, OWN_URL = "http://127.0.0.1:19101/", "http://127.0.0.1:19100/"


def recorded(name: str) -> bytes:
    return bytes.fromhex(RECORDED[name])


@pytest.mark.parametrize("name", ["push", "resent"])
def test_payload(name: str) -> None:
    found = decode_tessera_payload(recorded(name))
    assert (found.payload.sender, found.recipients) == (TESSERA.public, (OWN.public,))
    assert found.payload.key == recorded("payloadKey")
    assert decrypt_payload(found.payload, OWN) == (0, recorded("payload"))
    assert encode_tessera_payload(found.payload, found.recipients) == recorded(name)


def test_group_and_its_end() -> None:
    members = (TESSERA.public, OWN.public)
    created = GroupRecord(members, "customs", "two", True, GroupType.PANTHEON, b"seed")
    assert created.id == recorded("groupId")
    for name, active in (("groupCreated", True), ("groupDeleted", False)):
        found = decode_tessera_group(recorded(name))
        assert (found.id, found.active) == (created.id, active)
        assert (set(found.members), found.name, found.description) == (set(members), "customs", "two")
        assert encode_tessera_group(found) == recorded(name)


def test_party_info_in_both_forms() -> None:
    sent = decode_tessera_party_info(recorded("partyInfo"))
    assert (sent.url, dict(sent.keys)[TESSERA.public]) == (TESSERA_URL, TESSERA_URL)
    assert encode_tessera_party_info(sent) == recorded("partyInfo")
    shown = decode_tessera_party_info_json(RECORDED["partyInfoJson"].encode())
    assert (shown.url, shown.keys) == (TESSERA_URL, {TESSERA.public: TESSERA_URL, OWN.public: OWN_URL})


def test_its_question_for_a_key_is_answered() -> None:
    question = decode_tessera_payload(recorded("validate"))
    assert question.payload.group_id == NO_GROUP
    opened = decrypt_payload(question.payload, OWN)
    assert opened is not None
    assert answer_key_challenge(recorded("validate"), KeyRing([TESSERA, OWN])) == opened[1]


def test_the_key_pairs_are_those_of_the_recording() -> None:
    """The JSON names them; nobody else's keys are in the file."""
    keys = {from_base64(entry["key"]) for entry in json.loads(RECORDED["partyInfoJson"])["keys"]}
    assert keys == {TESSERA.public, OWN.public}
