"""The transaction manager's formats, byte for byte: key files, group ids, payloads and what managers tell each other."""

import json
from pathlib import Path
from typing import Any

import pytest

from lacnode.primitives.hexadecimal import from_hex
from lacnode.privacy.group_ids import group_id, java_array_hash, members_lookup_id, tessera_group_id
from lacnode.privacy.keys import KeyPair, from_base64, to_base64
from lacnode.privacy.manager.encrypted_payload import (
    decode_orion_payload,
    decrypt_payload,
    encode_orion_payload,
    encrypt_payload,
    payload_key,
)
from lacnode.privacy.manager.group_record import GroupRecord, decode_orion_group, encode_orion_group
from lacnode.privacy.manager.key_files import PrivacyKeyError, load_private_key
from lacnode.privacy.manager.orion_party_info import PartyInfo, decode_orion_party_info, encode_orion_party_info

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "privacy.json"
if not VECTORS.exists():
    pytest.skip(f"the shared vectors are not beside the repository ({VECTORS.name})", allow_module_level=True)

DOCUMENT: dict[str, Any] = json.loads(VECTORS.read_text())
KEYS: dict[str, KeyPair] = {
    entry["name"]: KeyPair.from_private_bytes(from_base64(entry["privateKey"])) for entry in DOCUMENT["nacl_key_pairs"]
}
GROUPS = DOCUMENT["privacy_group_ids"]
PAYLOADS = [*DOCUMENT["orion_payload_encryption"]["cases"], DOCUMENT["enclave_exchange"]["orionEncryption"]]
Vector = dict[str, Any]


def key_in_file(vector: Vector, folder: Path) -> str:
    """The private key (base64) that is read from the vector's key file, with its password."""
    file = folder / "node.key"
    file.write_text(json.dumps(vector["file"]))
    return to_base64(load_private_key(file, vector.get("password")))


def keys_of(vector: Vector) -> list[bytes]:
    return [from_base64(member) for member in vector["members"]]


@pytest.mark.parametrize("vector", DOCUMENT["nacl_key_pairs"], ids=lambda vector: vector["name"])
def test_public_key(vector: Vector) -> None:
    assert to_base64(KEYS[vector["name"]].public) == vector["publicKey"]


SLOW_KEY_FILE = "tessera argon2sbox"
"""Its password takes 12 seconds and a gigabyte of memory by design: `tests/integration/test_argon2_key_file.py`."""


@pytest.mark.parametrize(
    "vector",
    [vector for vector in DOCUMENT["key_files"] if vector["kind"] != SLOW_KEY_FILE],
    ids=lambda vector: vector["kind"],
)
def test_key_file(vector: Vector, tmp_path: Path) -> None:
    assert key_in_file(vector, tmp_path) == vector["privateKey"]


def test_wrong_password_is_told_without_the_key(tmp_path: Path) -> None:
    file = tmp_path / "node.key"
    file.write_text(json.dumps(DOCUMENT["key_files"][1]["file"]))
    with pytest.raises(PrivacyKeyError, match="does not open") as error:
        load_private_key(file, "another")
    assert "another" not in str(error.value)
    with pytest.raises(PrivacyKeyError, match="EnclaveMissingPrivateKeyPasswords"):
        load_private_key(file)


@pytest.mark.parametrize("vector", GROUPS["sortHashes"], ids=lambda vector: vector["key"][:6])
def test_sort_hash(vector: Vector) -> None:
    assert java_array_hash(from_base64(vector["key"])) == vector["hash"]


@pytest.mark.parametrize("vector", GROUPS["legacy"])
def test_legacy_group_id(vector: Vector) -> None:
    assert to_base64(group_id(keys_of(vector))) == vector["privacyGroupId"]


@pytest.mark.parametrize("vector", GROUPS["pantheon"])
def test_pantheon_group_id(vector: Vector) -> None:
    assert to_base64(group_id(keys_of(vector), from_hex(vector["seed"]))) == vector["privacyGroupId"]


@pytest.mark.parametrize("vector", GROUPS["lookupIndexId"])
def test_lookup_id(vector: Vector) -> None:
    assert to_base64(members_lookup_id(keys_of(vector))) == vector["id"]


@pytest.mark.parametrize("vector", GROUPS["tesseraDivergence"]["cases"])
def test_tessera_ids_of_large_groups(vector: Vector) -> None:
    assert to_base64(group_id(keys_of(vector))) == vector["standardId"]
    assert to_base64(tessera_group_id(keys_of(vector))) == vector["tesseraId"]


@pytest.mark.parametrize("vector", PAYLOADS, ids=range(len(PAYLOADS)))
def test_payload(vector: Vector) -> None:
    sender = KEYS[vector["sender"]]
    recipients = [KEYS[name].public for name in vector["recipients"]]
    sealed = encrypt_payload(
        from_hex(vector["payload"]),
        sender,
        recipients,
        from_base64(vector["privacyGroupId"]),
        from_hex(vector["masterKey"]),
        from_hex(vector["boxNonce"]),
    )
    assert sealed.cipher_text == from_hex(vector["cipherText"])
    assert [box.hex() for box in sealed.boxes] == [entry["box"][2:] for entry in vector["encryptedKeys"]]
    assert to_base64(sealed.key) == vector["digestKey"]
    assert encode_orion_payload(sealed) == from_hex(vector["storedCbor"])
    assert decode_orion_payload(from_hex(vector["storedCbor"])) == sealed
    for name, pushed in vector["pushCbor"].items():
        position = vector["recipients"].index(name)
        assert encode_orion_payload(sealed.with_boxes_at([position])) == from_hex(pushed)
        assert decrypt_payload(decode_orion_payload(from_hex(pushed)), KEYS[name]) == (0, from_hex(vector["payload"]))
    assert decrypt_payload(sealed, sender) == (len(recipients), from_hex(vector["payload"]))
    stranger = next(pair for name, pair in KEYS.items() if name not in (*vector["recipients"], vector["sender"]))
    assert decrypt_payload(sealed, stranger) is None


@pytest.mark.parametrize("vector", DOCUMENT["orion_wire"]["partyinfo"], ids=lambda vector: vector["source"][:8])
def test_network_view(vector: Vector) -> None:
    view = decode_orion_party_info(from_hex(vector["cbor"]))
    decoded = vector["decoded"]
    assert view == PartyInfo(
        decoded.get("url"),
        tuple(decoded["nodeURLs"]),
        {from_base64(key): url for key, url in decoded["nodePKs"].items()},
    )
    assert decode_orion_party_info(encode_orion_party_info(view)) == view
    if vector["source"] == "computed":
        assert encode_orion_party_info(view) == from_hex(vector["cbor"])


@pytest.mark.parametrize("vector", DOCUMENT["orion_wire"]["pushPrivacyGroup"], ids=("create", "delete"))
def test_group_record(vector: Vector) -> None:
    record = decode_orion_group(from_hex(vector["cbor"]))
    assert to_base64(record.id) == vector["expectedResponseText"]
    assert encode_orion_group(record) == from_hex(vector["cbor"])
    assert record.active is (vector.get("meaning") is None)


def test_legacy_group_record() -> None:
    vector = DOCUMENT["orion_wire"]["legacyGroupRecord"]
    record = GroupRecord.legacy((KEYS["key2"].public, KEYS["key1"].public))
    assert encode_orion_group(record) == from_hex(vector["cbor"])
    assert decode_orion_group(from_hex(vector["cbor"])) == record
    assert to_base64(record.id) == vector["storedUnder"]


def test_tessera_orion_mode_hash() -> None:
    for vector in DOCUMENT["tessera_payload"]["cases"]:
        assert to_base64(payload_key(from_hex(vector["cipherText"]))) == vector["orionModeHash"]
