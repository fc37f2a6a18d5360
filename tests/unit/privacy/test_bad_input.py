"""Private transactions that cannot be sent as they are: each gets Besu's error where it has one, and no marker is made for a
payload that a recipient does not have. Nodes with the real transaction managers, which reach each other by a call."""

import base64
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.encrypted_payload import MAX_PAYLOAD_BYTES
from lacnode.privacy.transaction_manager import EnclaveError, PrivacyGroup, ReceivedPayload
from lacnode.rpc.errors import RpcError
from tests.support.manager_network import ManagerNetwork
from tests.support.private_nodes import ALICE, KEEPER, MemoryManager, PrivateTestNetwork, deploying, private

A, B, C, STRANGER = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (11, 12, 13, 14))
KEYS = (A.public, B.public, C.public)
TRANSACTION = b"a private transaction"


class Sealing(MemoryManager):
    """A node's manager that is a real one of a network."""

    network: ManagerNetwork

    @property
    def real(self) -> Any:
        return self.network.managers[url_of(self.key)]

    def send(self, payload: bytes, sender: bytes | None, recipients: Sequence[bytes]) -> bytes:
        return bytes(self.real.send(payload, sender, recipients))

    def send_to_group(self, payload: bytes, sender: bytes, group_id: bytes) -> bytes:
        return bytes(self.real.send_to_group(payload, sender, group_id))

    def receive(self, key: bytes, to: bytes | None = None) -> ReceivedPayload:
        received: ReceivedPayload = self.real.receive(key, to)
        return received

    def create_group(
        self, members: Sequence[bytes], sender: bytes, name: str = "", description: str = "", seed: bytes | None = None
    ) -> PrivacyGroup:
        group: PrivacyGroup = self.real.create_group(members, sender, name, description, seed)
        return group

    def retrieve_group(self, group_id: bytes) -> PrivacyGroup:
        group: PrivacyGroup = self.real.retrieve_group(group_id)
        return group

    def pantheon_members(self, group_id: bytes) -> Collection[bytes] | None:
        members: Collection[bytes] | None = self.real.pantheon_members(group_id)
        return members

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Sequence[bytes] | None:
        members: Sequence[bytes] | None = self.real.widened_members(named, group_id)
        return members


def url_of(key: bytes) -> str:
    return f"http://{KEYS.index(key)}"


@pytest.fixture
def network() -> ManagerNetwork:
    network = ManagerNetwork()
    for pair in (A, B, C):
        network.add(url_of(pair.public), [pair])
    return network


@pytest.fixture
def stage(network: ManagerNetwork) -> PrivateTestNetwork:
    def manager(key: bytes, others: dict[bytes, MemoryManager]) -> MemoryManager:
        made = Sealing(key, others)
        made.network = network
        return made

    return PrivateTestNetwork(keys=KEYS, manager=manager)


def refusal(stage: PrivateTestNetwork, **fields: Any) -> RpcError:
    """Why A refuses a private transaction of Alice's, of which then nothing is announced."""
    raw = to_hex(private(ALICE, 0, **{"private_from": A.public, "private_for": [B.public], **fields}).raw)
    error = stage.a.node.error("eea_sendRawTransaction", raw)
    assert stage.a.node.pooled == []
    assert stage.a.node.fails("priv_distributeRawTransaction", raw) == (error.code, error.message)
    return error


def stored(network: ManagerNetwork, pair: KeyPair) -> int:
    """How many payloads the manager of `pair` keeps that it may read."""
    return len(network.stores[url_of(pair.public)].read_payloads(pair.public, 0, 99))


class TestUnknownRecipient:
    def test_is_named_and_nobody_is_sent_anything(self, stage: PrivateTestNetwork, network: ManagerNetwork) -> None:
        error = refusal(stage, private_for=[B.public, STRANGER.public, C.public])
        assert (error.code, error.message) == (-50200, "NodeMissingPeerUrl")
        assert to_base64(STRANGER.public) in str(error.data)
        assert [stored(network, pair) for pair in (A, B, C)] == [0, 0, 0]

    def test_in_a_group_that_is_made(self, stage: PrivateTestNetwork) -> None:
        members = [to_base64(A.public), to_base64(STRANGER.public)]
        error = stage.a.node.error("priv_createPrivacyGroup", {"addresses": members})
        assert (error.code, error.message) == (-50200, "NodeMissingPeerUrl")


class TestWrongKey:
    @pytest.mark.parametrize("size", [0, 31, 33, 91])
    def test_of_another_size(self, stage: PrivateTestNetwork, network: ManagerNetwork, size: int) -> None:
        error = refusal(stage, private_for=[B.public, bytes(size)])
        assert (error.code, error.message) == (-50200, "EnclaveDecodePublicKey")
        assert stored(network, A) == stored(network, B) == 0

    def test_of_another_kind_in_a_group(self, stage: PrivateTestNetwork) -> None:
        """91 bytes are a key of Tessera's other encryptor."""
        members = [to_base64(A.public), to_base64(bytes(91))]
        error = stage.a.node.error("priv_createPrivacyGroup", {"addresses": members})
        assert (error.code, error.message) == (-50200, "EnclaveDecodePublicKey")

    def test_that_nothing_can_be_sealed_for(self, stage: PrivateTestNetwork, network: ManagerNetwork) -> None:
        """Somebody announced 32 zero bytes, between which and any key there is no secret."""
        peers = network.managers[url_of(A.public)]._peers
        peers.add_party_info(peers.party_info.__class__("http://evil", (), {bytes(32): "http://evil"}))
        error = refusal(stage, private_for=[B.public, bytes(32)])
        assert (error.code, error.message) == (-50200, "EnclaveEncryptCombineKeys")
        assert stored(network, A) == stored(network, B) == 0

    def test_of_another_node_as_the_sender(self, stage: PrivateTestNetwork) -> None:
        error = refusal(stage, private_from=B.public, private_for=[A.public])
        assert (error.code, error.message) == (-50100, "Private from does not match enclave public key")


class TestAwayMidway:
    def test_the_sender_is_told_who_does_not_have_it(self, stage: PrivateTestNetwork, network: ManagerNetwork) -> None:
        network.down.add(url_of(C.public))
        raw = to_hex(private(ALICE, 0, private_from=A.public, private_for=[B.public, C.public]).raw)
        error = stage.a.node.error("eea_sendRawTransaction", raw)
        assert (error.code, error.message) == (-50200, "NodePropagatingToAllPeers")
        assert to_base64(C.public) in str(error.data)
        assert to_base64(B.public) not in str(error.data)
        assert stage.a.node.pooled == []
        assert [stored(network, pair) for pair in (A, B, C)] == [1, 1, 0]

    def test_and_sends_again_when_everybody_is_back(self, stage: PrivateTestNetwork, network: ManagerNetwork) -> None:
        """What some had received before is announced by nothing and changes nothing."""
        network.down.add(url_of(C.public))
        raw = to_hex(
            private(ALICE, 0, data=deploying(KEEPER), private_from=A.public, private_for=[B.public, C.public]).raw
        )
        stage.a.node.error("eea_sendRawTransaction", raw)
        network.down.clear()
        marker = stage.a.node.call("eea_sendRawTransaction", raw)
        stage.mine()
        receipts = [member.node.call("priv_getTransactionReceipt", marker) for member in stage.members]
        assert receipts[0] == receipts[1] == receipts[2]
        assert isinstance(receipts[0], dict)
        assert receipts[0]["status"] == "0x1"
        assert [stored(network, pair) for pair in (A, B, C)] == [2, 2, 1]

    def test_a_recipient_that_says_it_has_something_else(
        self, stage: PrivateTestNetwork, network: ManagerNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        b = network.managers[url_of(B.public)]
        monkeypatch.setattr(b.intake, "receive_push", lambda body: to_base64(bytes(32)))
        error = refusal(stage)
        assert (error.code, error.message) == (-50200, "NodePropagatingToAllPeers")

    def test_a_group_that_not_everybody_hears_of_is_not_made(
        self, stage: PrivateTestNetwork, network: ManagerNetwork
    ) -> None:
        network.down.add(url_of(C.public))
        members = [to_base64(key) for key in KEYS]
        error = stage.a.node.error("priv_createPrivacyGroup", {"addresses": members})
        assert (error.code, error.message) == (-50200, "PrivacyGroupNotPushed")
        assert to_base64(C.public) in str(error.data)
        assert network.managers[url_of(A.public)].find_groups(KEYS) == []

    def test_many_of_them_are_counted(self, network: ManagerNetwork) -> None:
        a = network.managers[url_of(A.public)]
        away = [KeyPair.from_private_bytes(bytes([number, 1]) * 16) for number in range(30)]
        network.add("http://away", away)
        network.down.add("http://away")
        with pytest.raises(EnclaveError, match="NodePropagatingToAllPeers") as error:
            a.send(TRANSACTION, None, [pair.public for pair in away])
        assert str(error.value.detail).endswith("and 20 more")


class TestDuplicates:
    def test_the_same_again_before_and_after_it_is_mined(
        self, stage: PrivateTestNetwork, network: ManagerNetwork
    ) -> None:
        raw = to_hex(private(ALICE, 0, data=deploying(KEEPER), private_from=A.public, private_for=[B.public]).raw)
        first, second = (stage.a.node.call("eea_sendRawTransaction", raw) for _ in range(2))
        assert first != second
        stage.mine()
        statuses = [
            member.node.call("priv_getTransactionReceipt", marker)["status"]  # type: ignore[index]
            for member in (stage.a, stage.b)
            for marker in (first, second)
        ]
        assert sorted(statuses) == ["0x1", "0x1", "0x2", "0x2"]
        assert statuses[:2] == statuses[2:]
        assert stage.a.node.fails("eea_sendRawTransaction", raw) == (-32001, "Nonce too low")
        assert stored(network, B) == 2

    def test_a_recipient_named_twice_is_one(self, stage: PrivateTestNetwork, network: ManagerNetwork) -> None:
        raw = private(ALICE, 0, private_from=A.public, private_for=[B.public, B.public, A.public]).raw
        assert stage.a.node.call("eea_sendRawTransaction", to_hex(raw))
        (kept,) = network.stores[url_of(A.public)].read_payloads(A.public, 0, 9)
        assert len(kept.payload.boxes) == 2


class TestGroupWithoutTheSender:
    def test_is_not_made(self, stage: PrivateTestNetwork) -> None:
        members = [to_base64(B.public), to_base64(C.public)]
        error = stage.a.node.error("priv_createPrivacyGroup", {"addresses": members})
        assert (error.code, error.message) == (-50200, "CreatePrivacyGroupShouldIncludeSelf")

    def test_is_not_there_for_it(self, stage: PrivateTestNetwork, network: ManagerNetwork) -> None:
        group = network.managers[url_of(B.public)].create_group([B.public, C.public], B.public)
        error = refusal(stage, group=group.id)
        assert (error.code, error.message) == (-50200, "PrivacyGroupNotFound")

    def test_that_another_of_the_managers_keys_is_in(self, network: ManagerNetwork) -> None:
        second = KeyPair.from_private_bytes(b"\x21" * 32)
        both = network.add("http://both", [KeyPair.from_private_bytes(b"\x20" * 32), second])
        group = both.create_group([second.public, B.public], second.public)
        with pytest.raises(EnclaveError, match=r"^PrivacyGroupNotFound$"):
            both.send_to_group(TRANSACTION, None, group.id)


class TestOversized:
    def test_is_refused_before_it_is_stored(self, network: ManagerNetwork) -> None:
        a = network.managers[url_of(A.public)]
        with pytest.raises(EnclaveError, match=r"^InvalidPayload$") as error:
            a.send(bytes(MAX_PAYLOAD_BYTES + 1), None, [B.public])
        assert str(MAX_PAYLOAD_BYTES + 1) in str(error.value.detail)
        assert stored(network, A) == stored(network, B) == 0

    def test_the_sender_is_told_the_sizes(self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.privacy.manager.local_transaction_manager.MAX_PAYLOAD_BYTES", 1000)
        data = bytes(1000)
        error = refusal(stage, data=data)
        assert (error.code, error.message) == (-50200, "InvalidPayload")
        raw = private(ALICE, 0, data=data, private_from=A.public, private_for=[B.public]).raw
        assert str(error.data) == f"from 1 to 1000 bytes were expected, found {len(base64.b64encode(raw))}"


class TestTwoNodesClaimingOneKey:
    def test_one_that_cannot_open_it_does_not_confirm_it(
        self, stage: PrivateTestNetwork, network: ManagerNetwork
    ) -> None:
        """The first claim is another's, whose manager is honest: it keeps nothing that it cannot open."""
        network.managers[url_of(A.public)]._peers.set_key_url(B.public, url_of(C.public))
        error = refusal(stage)
        assert (error.code, error.message) == (-50200, "NodePropagatingToAllPeers")
        assert to_base64(B.public) in str(error.data)
        assert stored(network, C) == 0


def test_a_marker_that_the_pool_refuses_is_told(stage: PrivateTestNetwork, network: ManagerNetwork) -> None:
    """The payload is with its recipient, and nothing on the chain will ever name it."""
    raw = private(ALICE, 0, gas=21_000, data=b"\x01", private_from=A.public, private_for=[B.public]).raw
    code, _ = stage.a.node.fails("eea_sendRawTransaction", to_hex(raw))
    assert code == -50100
    assert stage.a.node.pooled == []
    assert stored(network, B) == 1
