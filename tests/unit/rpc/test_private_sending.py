"""Sending private transactions by RPC: the marker, the refusals, and a node that may not send."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from lacnode.crypto.secp256k1 import recover_sender
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.privacy.state.privacy_marker import PRIVACY_ADDRESS, FixedKeySigner
from lacnode.privacy.transaction_manager import EnclaveError
from lacnode.rpc.errors import RpcError
from tests.support.logs import captured_logs
from tests.support.private_calls import GROUP, KEEPER_ADDRESS, UNKNOWN, b64, deploy, receipt, send
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    PrivateTestNetwork,
    deploying,
    private,
)
from tests.support.rpc_chain import signed


@pytest.fixture
def stage() -> PrivateTestNetwork:
    return PrivateTestNetwork()


class TestSending:
    def test_answers_the_marker_which_goes_to_the_pool(self, stage: PrivateTestNetwork) -> None:
        transaction = private(ALICE, 0, data=deploying(KEEPER), gas=250_000)
        sent = send(stage.a, transaction)
        (marker,) = stage.a.node.pooled
        assert sent == to_hex(marker.hash)
        assert (marker.to, marker.value, marker.nonce) == (PRIVACY_ADDRESS, 0, 0)
        assert (marker.gas_limit, marker.chain_id, len(marker.data)) == (250_000, None, 32)
        assert stage.b.manager.payloads[marker.data].payload == base64.b64encode(transaction.raw)

    def test_takes_hexadecimal_without_0x(self, stage: PrivateTestNetwork) -> None:
        assert stage.a.node.call("eea_sendRawTransaction", private().raw.hex())

    def test_signs_each_marker_by_another_key(self, stage: PrivateTestNetwork) -> None:
        for nonce in range(2):
            send(stage.a, private(ALICE, nonce))
        assert len({recover_sender(marker) for marker in stage.a.node.pooled}) == 2

    def test_signs_all_markers_by_a_fixed_key_in_order(self) -> None:
        stage = PrivateTestNetwork(FixedKeySigner(BOB))
        for nonce in range(3):
            send(stage.a, private(ALICE, nonce))
        assert [(recover_sender(marker), marker.nonce) for marker in stage.a.node.pooled] == [
            (BOB.address, nonce) for nonce in range(3)
        ]

    def test_sends_to_itself_where_nobody_is_named(
        self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipients: list[Sequence[bytes]] = []

        def note(payload: bytes, sender: bytes | None, to: Sequence[bytes]) -> bytes:
            recipients.append(to)
            return bytes(32)

        monkeypatch.setattr(stage.a.manager, "send", note)
        send(stage.a, private(private_for=()))
        assert [list(to) for to in recipients] == [[KEY_A]]

    def test_leaves_the_marker_to_the_caller_when_it_only_distributes(self, stage: PrivateTestNetwork) -> None:
        key = stage.a.node.call("priv_distributeRawTransaction", to_hex(private().raw))
        assert isinstance(key, str)
        assert bytes.fromhex(key[2:]) in stage.b.manager.payloads
        assert not stage.a.node.pooled

    def test_a_marker_of_the_callers_own(self, stage: PrivateTestNetwork) -> None:
        raw = private(ALICE, 0, data=deploying(KEEPER)).raw
        key = stage.a.node.call("priv_distributeRawTransaction", to_hex(raw))
        assert isinstance(key, str)
        own = signed(BOB, 0, to=PRIVACY_ADDRESS, data=bytes.fromhex(key[2:]))
        marker = stage.a.node.call("eth_sendRawTransaction", to_hex(own.raw))
        assert isinstance(marker, str)
        stage.mine()
        assert receipt(stage.a, marker)["contractAddress"] == to_hex(KEEPER_ADDRESS)
        assert receipt(stage.b, marker)["status"] == "0x1"

    @pytest.mark.parametrize(
        "raw", ["0x", "0xzz", "0x123", "0xc0", to_hex(private().raw)[:-2], to_hex(private().raw) + "00"]
    )
    def test_what_is_no_private_transaction(self, stage: PrivateTestNetwork, raw: str) -> None:
        error = (-50100, "Unable to decode the private signed raw transaction")
        assert stage.a.node.fails("eea_sendRawTransaction", raw) == error
        assert stage.a.node.fails("priv_distributeRawTransaction", raw) == error

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"restriction": b"unrestricted"}, (-50100, "Unsupported private transaction type")),
            ({"private_from": KEY_B}, (-50100, "Private from does not match enclave public key")),
            ({"value": 1}, (-32603, "Internal error")),
            ({"chain_id": 9}, (-32000, "Wrong chainId")),
            ({"private_for": [KEY_C, UNKNOWN]}, (-50200, "NodeMissingPeerUrl")),
            ({"group": UNKNOWN}, (-50200, "PrivacyGroupNotFound")),
            (
                {"gas": 21_000, "data": b"\x01"},
                (
                    -50100,
                    "Privacy Marker Transaction failed due to intrinsic gas exceeding the limit. "
                    "Gas limit used from the Private Transaction.",
                ),
            ),
        ],
    )
    def test_refusals(self, stage: PrivateTestNetwork, wrong: dict[str, Any], error: tuple[int, str]) -> None:
        assert stage.a.node.fails("eea_sendRawTransaction", to_hex(private(**wrong).raw)) == error
        assert not stage.a.node.pooled

    def test_a_nonce_that_is_used(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        assert stage.a.node.fails("eea_sendRawTransaction", to_hex(private(ALICE, 0).raw)) == (-32001, "Nonce too low")

    def test_two_keys_in_a_marker_carry_nothing_out_here(self, stage: PrivateTestNetwork) -> None:
        """They are for flexible groups, which this node does not have."""
        raw = private(ALICE, 0, data=deploying(KEEPER)).raw
        key = stage.a.node.call("priv_distributeRawTransaction", to_hex(raw))
        assert isinstance(key, str)
        marker = signed(BOB, 0, to=PRIVACY_ADDRESS, data=bytes.fromhex(key[2:]) + bytes(32))
        stage.mine(marker)
        assert receipt(stage.a, to_hex(marker.hash))["status"] == "0x0"
        assert stage.a.node.call("eth_getTransactionReceipt", to_hex(marker.hash))["status"] == "0x1"  # type: ignore[index]
        assert stage.a.root(GROUP) == EMPTY_TRIE_ROOT

    def test_a_later_nonce_may_wait(self, stage: PrivateTestNetwork) -> None:
        assert send(stage.a, private(ALICE, 7))

    def test_the_id_of_a_legacy_group(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        error = (-50100, "Unable to decode the private signed raw transaction")
        assert stage.a.node.fails("eea_sendRawTransaction", to_hex(private(ALICE, 1, group=GROUP).raw)) == error

    @pytest.mark.parametrize(
        ("who", "error"),
        [("a", (-50100, "Error communicating with enclave")), ("b", (-50200, "NodePropagatingToAllPeers"))],
    )
    def test_a_manager_that_is_off(self, stage: PrivateTestNetwork, who: str, error: tuple[int, str]) -> None:
        """No marker: nobody could fetch what it announces."""
        getattr(stage, who).manager.is_off = True
        assert stage.a.node.fails("eea_sendRawTransaction", to_hex(private().raw)) == error
        assert not stage.a.node.pooled

    def test_words_of_tessera(self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        def complain(*_: object) -> bytes:
            raise EnclaveError(f"Recipient not found for key: {b64(KEY_C)}")

        monkeypatch.setattr(stage.a.manager, "send", complain)
        error = stage.a.node.fails("eea_sendRawTransaction", to_hex(private().raw))
        assert error == (-50200, "Recipient not found for key:")

    def test_says_nothing_of_the_transaction(self, stage: PrivateTestNetwork) -> None:
        secret = b"a secret that nobody may read"
        with captured_logs() as logs:
            deploy(stage)
            for wrong in ({"value": 1}, {"group": UNKNOWN}, {"to": KEEPER_ADDRESS}):
                raw = to_hex(private(ALICE, 1, data=secret, **wrong).raw)
                try:
                    stage.a.node.call("eea_sendRawTransaction", raw)
                except RpcError as error:
                    told = f"{error} {error.data}"
                    assert secret.hex() not in told
                    assert secret.decode() not in told
            stage.mine()
        assert secret.hex() not in str(logs)
        assert secret.decode() not in str(logs)


def test_an_observer_sends_nothing_in_private_either(stage: PrivateTestNetwork) -> None:
    services = stage.a.node.services
    stage.a.node.services = replace(services, node=replace(services.node, accepts_transactions=False))
    raw = to_hex(private(ALICE, 0).raw)
    for method in ("eea_sendRawTransaction", "priv_distributeRawTransaction"):
        code, message = stage.a.node.fails(method, raw)
        assert code == -32000
        assert "observer" in message
