"""Private transactions, markers, groups and private records against worked values of Besu, Orion and web3js-quorum."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import recover_sender
from lacnode.primitives import rlp
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.rlp import RlpError
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state import privacy_marker
from lacnode.privacy.state.private_records import MarkerRoot, PrivateReceipt, decode_marker_roots, encode_marker_roots
from lacnode.privacy.state.private_transaction import (
    PrivateTransaction,
    decode_payload_text,
    encode_payload_text,
    legacy_group_id,
    private_contract_address,
)

FILE = Path(__file__).parents[3] / "shared" / "vectors" / "privacy.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}

pytestmark = pytest.mark.skipif(not VECTORS, reason=f"{FILE} is not here")


def cases(name: str) -> list[Any]:
    found = VECTORS.get(name, [])
    return list(found)


def named(case: dict[str, Any]) -> str:
    return str(case.get("name", case.get("kind", "")))


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def number(value: int | str) -> int:
    return value if isinstance(value, int) else int(value, 16)


def unbase64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


@pytest.mark.parametrize("case", cases("private_transactions"), ids=named)
class TestPrivateTransaction:
    def test_every_field(self, case: dict[str, Any]) -> None:
        found = PrivateTransaction.decode(unhex(case["rlp"]))
        assert (found.nonce, found.gas_price, found.gas_limit) == tuple(
            number(case[name]) for name in ("nonce", "gasPrice", "gasLimit")
        )
        assert found.to == (None if case["to"] is None else unhex(case["to"]))
        assert (found.value, found.data) == (number(case["value"]), unhex(case["payload"]))
        assert (found.v, found.r, found.s) == (number(case["v"]), number(case["r"]), number(case["s"]))
        assert found.chain_id == case["chainId"]
        assert found.private_from == unbase64(case["privateFrom"])
        expected = case.get("privateFor")
        assert found.private_for == (None if expected is None else tuple(map(unbase64, expected)))
        assert found.restriction.value == case["restriction"].encode()

    def test_round_trip_alone_and_as_payload(self, case: dict[str, Any]) -> None:
        found = PrivateTransaction.decode(unhex(case["rlp"]))
        assert found.raw == unhex(case["rlp"])
        assert decode_payload_text(encode_payload_text(found)).raw == found.raw

    def test_what_was_signed_and_by_whom(self, case: dict[str, Any]) -> None:
        found = PrivateTransaction.decode(unhex(case["rlp"]))
        assert found.signing_preimage() == unhex(case["signingPreimage"])
        assert keccak256(found.signing_preimage()) == unhex(case["signingHash"])
        assert found.sender() == unhex(case["recoveredSender"])

    def test_its_group(self, case: dict[str, Any]) -> None:
        assert PrivateTransaction.decode(unhex(case["rlp"])).determined_group_id() == unbase64(case["derivedGroupId"])

    def test_shows_nothing_of_itself(self, case: dict[str, Any]) -> None:
        found = PrivateTransaction.decode(unhex(case["rlp"]))
        assert repr(found) == f"PrivateTransaction({len(found.raw)} bytes)"


def test_nine_fields_are_no_private_transaction() -> None:
    with pytest.raises(RlpError, match="ends before"):
        PrivateTransaction.decode(unhex(VECTORS["private_transaction_invalid"]["rlp"]))


def test_payload_is_base64_of_the_rlp() -> None:
    exchange = VECTORS["enclave_exchange"]
    found = PrivateTransaction.decode(unhex(exchange["privateTransactionRlp"]))
    for request in ("sendRequestLegacy", "sendRequestGroup"):
        assert base64.b64encode(encode_payload_text(found)).decode() == exchange[request]["payload"]
    received = unbase64(exchange["receiveResponse"]["payload"])
    assert decode_payload_text(received).raw == found.raw


def test_payload_of_a_flexible_group_has_a_version_after_it() -> None:
    case = VECTORS["flexible_groups"]["enclavePayloadRlp"]
    item = rlp.decode_list(unhex(case["rlp"]), "payload")
    assert decode_payload_text(base64.b64encode(unhex(case["rlp"]))).raw == rlp.encode(item[0])


def test_legacy_group_ids() -> None:
    for case in VECTORS["privacy_group_ids"]["legacy"]:
        first, *others = map(unbase64, case["members"])
        assert legacy_group_id(first, others) == unbase64(case["privacyGroupId"])


def test_private_contract_addresses() -> None:
    for case in VECTORS["private_contract_addresses"]:
        address = private_contract_address(
            unhex(case["sender"]), case["privateNonce"], unbase64(case["privacyGroupId"])
        )
        assert address == unhex(case["contractAddress"])


def test_reserved_addresses() -> None:
    expected = VECTORS["precompile_addresses"]
    assert unhex(expected["default"]) == privacy_marker.PRIVACY_ADDRESS
    assert unhex(expected["flexible"]) == privacy_marker.FLEXIBLE_PRIVACY_ADDRESS
    assert unhex(expected["flexibleProxyContract"]) == privacy_marker.PROXY_ADDRESS
    assert unhex(expected["defaultFlexibleManagementContract"]) == privacy_marker.MANAGEMENT_ADDRESS
    assert unhex(expected["plugin"]) == privacy_marker.PLUGIN_PRIVACY_ADDRESS


class TestMarkers:
    def test_decodes_to_what_it_says(self) -> None:
        for case in VECTORS["privacy_marker_transactions"]:
            found = Transaction.decode(unhex(case["raw"]))
            assert found.hash == unhex(case["hash"])
            assert recover_sender(found) == unhex(case["signer"])
            assert (found.to, found.data, found.chain_id) == (unhex(case["to"]), unhex(case["payload"]), None)

    def test_is_signed_byte_for_byte_as_besu_does(self) -> None:
        case = VECTORS["privacy_marker_transactions"][0]
        by_name = {transaction["name"]: transaction for transaction in VECTORS["private_transactions"]}
        private_key = unhex(by_name["group_create_chain1337"]["privateKey"])
        private = next(
            PrivateTransaction.decode(unhex(transaction["rlp"]))
            for transaction in VECTORS["private_transactions"]
            if (number(transaction["gasPrice"]), number(transaction["gasLimit"]))
            == (case["gasPrice"], case["gasLimit"])
        )
        made = privacy_marker.create_marker(
            NodeKey.from_private_key(private_key),
            case["nonce"],
            private,
            privacy_marker.GroupMode.OFFCHAIN,
            unhex(case["payload"]),
        )
        assert made.raw == unhex(case["raw"])


class TestRecords:
    def entry(self, what: str) -> dict[str, str]:
        return next(entry for entry in VECTORS["private_state_storage"]["entries"] if entry["what"] == what)

    @pytest.mark.parametrize("what", ["receipt", "receipt failed with revert reason", "receipt invalid"])
    def test_receipts(self, what: str) -> None:
        value = unhex(self.entry(what)["value"])
        assert PrivateReceipt.decode(value).encode() == value

    def test_what_a_receipt_says(self) -> None:
        succeeded = PrivateReceipt.decode(unhex(self.entry("receipt")["value"]))
        assert (succeeded.status, len(succeeded.logs), succeeded.revert_reason) == (1, 1, None)
        failed = PrivateReceipt.decode(unhex(self.entry("receipt failed with revert reason")["value"]))
        assert (failed.status, failed.revert_reason) == (0, bytes.fromhex("08c379a0"))
        assert PrivateReceipt.decode(unhex(self.entry("receipt invalid")["value"])).status == 2

    def test_roots_of_a_block(self) -> None:
        value = unhex(self.entry("block metadata")["value"])
        (only,) = decode_marker_roots(value)
        assert only == MarkerRoot(only.marker_hash, EMPTY_TRIE_ROOT)
        assert unhex(self.entry("receipt")["key"])[32:64] == only.marker_hash
        assert encode_marker_roots([only]) == value

    def test_empty_state(self) -> None:
        assert unhex(VECTORS["private_state_storage"]["emptyStateRoot"]) == EMPTY_TRIE_ROOT
