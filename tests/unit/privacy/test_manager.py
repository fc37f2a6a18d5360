"""Managers that reach each other by a call: Orion's acceptance tests, and peers that lie."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.audit_log import export_audit_log
from lacnode.privacy.manager.encrypted_payload import encode_orion_payload, encrypt_payload
from lacnode.privacy.manager.group_record import GroupRecord, encode_orion_group
from lacnode.privacy.manager.mandatory_recipient import add_mandatory_recipient
from lacnode.privacy.manager.missing_payloads import FETCH_ATTEMPTS, MAX_MISSING_PAYLOADS, MissingPayloads
from lacnode.privacy.manager.orion_party_info import PartyInfo
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH
from lacnode.privacy.transaction_manager import EnclaveError, GroupType
from tests.support.manager_network import ManagerNetwork

SECRET = b"the plaintext of an agreement"


A1, A2, B1, B2, C1, STRANGER = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in range(1, 7))


@pytest.fixture
def network() -> ManagerNetwork:
    network = ManagerNetwork()
    network.add("http://a", [A1, A2])
    network.add("http://b", [B1, B2])
    network.add("http://c", [C1])
    return network


def refused(code: str) -> "pytest.RaisesExc[EnclaveError]":
    return pytest.raises(EnclaveError, match=f"^{code}$")


class TestSend:
    def test_every_listed_key_reads_and_nobody_else(self, network: ManagerNetwork) -> None:
        a, b, c = network.managers.values()
        key = a.send(SECRET, A1.public, [A2.public, B1.public, B2.public])
        for manager, readers in ((a, (A1, A2, None)), (b, (B1, B2, None))):
            for reader in readers:
                got = manager.receive(key, None if reader is None else reader.public)
                assert (got.payload, got.sender) == (SECRET, A1.public)
        with refused("EnclavePayloadNotFound"):
            c.receive(key)

    def test_ten_keys_at_each_node_all_read(self) -> None:
        network = ManagerNetwork()
        pairs = [KeyPair.from_private_bytes(bytes([number]) * 32) for number in range(1, 21)]
        a, b = network.add("http://a", pairs[:10]), network.add("http://b", pairs[10:])
        key = a.send(SECRET, pairs[0].public, [pair.public for pair in pairs[1:]])
        read = [a.receive(key, pair.public) for pair in pairs[:10]] + [
            b.receive(key, pair.public) for pair in pairs[10:]
        ]
        assert {got.payload for got in read} == {SECRET}

    def test_orions_get_their_own_boxes_only(self, network: ManagerNetwork) -> None:
        a, b, c = network.managers.values()
        network.orions = {"http://b", "http://c"}
        key = a.send(SECRET, None, [B1.public, C1.public])
        boxes = [len(store.find_payload(key).payload.boxes) for store in network.stores.values()]  # type: ignore[union-attr]
        assert boxes == [3, 1, 1]
        assert b.receive(key).payload == c.receive(key).payload == SECRET

    def test_errors_are_orions(self, network: ManagerNetwork) -> None:
        a = network.managers["http://a"]
        with refused("NodeMissingPeerUrl"):
            a.send(SECRET, A1.public, [STRANGER.public])
        with refused("EnclaveNoMatchingPrivateKey"):
            a.send(SECRET, B1.public, [C1.public])
        with refused("InvalidPayload"):
            a.send(b"", A1.public, [B1.public])
        with refused("PrivacyGroupNotFound"):
            a.send_to_group(SECRET, A1.public, bytes(32))

    def test_sender_is_told_when_one_recipient_cannot_be_reached_and_the_others_have_it(
        self, network: ManagerNetwork
    ) -> None:
        a, b, _ = network.managers.values()
        network.down.add("http://c")
        with refused("NodePropagatingToAllPeers"):
            a.send(SECRET, A1.public, [B1.public, C1.public])
        entry = list(export_audit_log(network.stores["http://a"]))[-1]
        assert entry["result"] == "not delivered to all"
        stored = network.stores["http://b"].read_payloads(B1.public, 0, 10)
        assert b.receive(stored[0].payload.key).payload == SECRET

    def test_a_recipient_sends_to_the_senders_group_where_the_sender_made_it(self, network: ManagerNetwork) -> None:
        a, b, _ = network.managers.values()
        group = a.receive(a.send(SECRET, A1.public, [B1.public])).group_id
        key = a.send_to_group(b"again", A1.public, group)
        assert b.receive(key).group_id == group
        assert [found.type for found in a.find_groups([B1.public, A1.public])] == [GroupType.LEGACY]


class TestGroups:
    def test_created_found_used_and_deleted_by_all(self, network: ManagerNetwork) -> None:
        a, b, c = network.managers.values()
        group = a.create_group([A1.public, B1.public], A1.public, "name", "text")
        twin = a.create_group([A1.public, B1.public], A1.public)
        assert b.retrieve_group(group.id) == group
        assert list(b.find_groups([B1.public, A1.public, A1.public])) == [group, twin]
        assert c.find_groups([A1.public, B1.public]) == []
        key = b.send_to_group(SECRET, B1.public, group.id)
        assert a.receive(key).group_id == group.id
        b.delete_group(group.id, B1.public)
        assert list(a.find_groups([A1.public, B1.public])) == [twin]
        with refused("PrivacyGroupNotFound"):
            a.retrieve_group(group.id)
        with refused("PrivacyGroupNotDeleted"):
            a.delete_group(group.id, A1.public)

    def test_one_that_a_member_deletes_while_it_is_announced_stays_deleted(
        self, network: ManagerNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a, b, _ = network.managers.values()
        members, post = [A1.public, B1.public], network.post

        def post_and_delete(path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
            answers = post(path, bodies)
            if path == PUSH_PROVEN_GROUP_PATH:
                monkeypatch.setattr(network, "post", post)
                (group,) = b.find_groups(members)
                b.delete_group(group.id, B1.public)
                deleted.append(group.id)
            return answers

        deleted: list[bytes] = []
        monkeypatch.setattr(network, "post", post_and_delete)
        with refused("PrivacyGroupNotStored"):
            a.create_group(members, A1.public)
        assert a.find_groups(members) == []
        with refused("PrivacyGroupNotFound"):
            a.retrieve_group(deleted[0])
        assert all(entry["event"] != "group-created" for entry in export_audit_log(network.stores["http://a"]))

    def test_one_must_be_in_the_group_one_makes(self, network: ManagerNetwork) -> None:
        with refused("CreatePrivacyGroupShouldIncludeSelf"):
            network.managers["http://a"].create_group([B1.public, C1.public], A1.public)

    def test_a_key_that_is_no_member_cannot_send_to_a_group_that_its_manager_knows(
        self, network: ManagerNetwork
    ) -> None:
        a = network.managers["http://a"]
        group = a.create_group([A1.public, B1.public], A1.public)
        with refused("PrivacyGroupNotFound"):
            a.send_to_group(SECRET, A2.public, group.id)

    def test_the_legacy_group_of_the_same_members_is_found_once_beside_it(self, network: ManagerNetwork) -> None:
        a = network.managers["http://a"]
        group = a.create_group([A1.public, B1.public], A1.public, "by name")
        for payload in (b"first", b"second"):
            a.send(payload, A1.public, [B1.public])
        found = a.find_groups([B1.public, A1.public])
        assert [(one.type, one.name) for one in found] == [
            (GroupType.PANTHEON, "by name"),
            (GroupType.LEGACY, "legacy"),
        ]
        assert found[0] == group

    def test_a_supervisor_is_seen_by_members_and_receives_what_they_send(self, network: ManagerNetwork) -> None:
        a, b, c = network.managers.values()
        members, description = add_mandatory_recipient([A1.public, B1.public], "d", C1.public)
        group = a.create_group(members, A1.public, "g", description)
        assert C1.public in b.retrieve_group(group.id).members
        assert "mandatory recipient" in b.retrieve_group(group.id).description
        assert c.receive(b.send_to_group(SECRET, B1.public, group.id)).payload == SECRET


class TestHostilePeers:
    @pytest.mark.parametrize(
        "body", [b"", b"\xbf\xff", b"\xff", b"\x81" * 5000, b"garbage", b"\xd8\x1c\x81\xd8\x1d\x00"]
    )
    def test_garbage_is_refused(self, network: ManagerNetwork, body: bytes) -> None:
        b = network.managers["http://b"]
        for method in (b.intake.receive_push, b.groups.receive_announcement, b.exchange_party_info):
            with refused("ObjectJsonDeserialization"):
                method(body)

    def test_what_is_for_others_is_never_stored(self, network: ManagerNetwork) -> None:
        sealed = encrypt_payload(SECRET, A1, [C1.public], bytes(32))
        with refused("EnclaveKeysCannotDecryptPayload"):
            network.managers["http://b"].intake.receive_push(encode_orion_payload(sealed))
        assert network.stores["http://b"].find_payload(sealed.key) is None

    def test_a_changed_cipher_text_is_refused(self, network: ManagerNetwork) -> None:
        sealed = encrypt_payload(SECRET, A1, [B1.public], bytes(32))
        changed = replace(sealed, cipher_text=sealed.cipher_text[:-1] + bytes([sealed.cipher_text[-1] ^ 1]))
        with refused("EnclaveKeysCannotDecryptPayload"):
            network.managers["http://b"].intake.receive_push(encode_orion_payload(changed))

    def test_a_replay_changes_nothing(self, network: ManagerNetwork) -> None:
        b, sealed = network.managers["http://b"], encrypt_payload(SECRET, A1, [B1.public], bytes(32)).with_boxes_at([0])
        assert b.intake.receive_push(encode_orion_payload(sealed)) == b.intake.receive_push(
            encode_orion_payload(sealed)
        )
        assert len(network.stores["http://b"].read_payloads(B1.public, 0, 10)) == 1
        assert [entry["event"] for entry in export_audit_log(network.stores["http://b"])] == ["received"]

    def test_the_same_cipher_text_under_another_sender_is_refused(self, network: ManagerNetwork) -> None:
        b, master = network.managers["http://b"], bytes(range(32))
        first = encrypt_payload(SECRET, A1, [B1.public], bytes(32), master)
        again = encrypt_payload(SECRET, STRANGER, [B1.public], bytes(32), master)
        assert first.key == again.key
        b.intake.receive_push(encode_orion_payload(first))
        with refused("InvalidPayload"):
            b.intake.receive_push(encode_orion_payload(again))
        assert b.receive(first.key).sender == A1.public

    def test_a_stranger_cannot_send_into_a_known_group(self, network: ManagerNetwork) -> None:
        a, b, _ = network.managers.values()
        group = a.create_group([A1.public, B1.public], A1.public)
        sealed = encrypt_payload(SECRET, STRANGER, [B1.public], group.id)
        with refused("PrivacyGroupNotFound"):
            b.intake.receive_push(encode_orion_payload(sealed))

    def test_a_group_of_others_is_not_stored_and_a_deleted_one_does_not_return(self, network: ManagerNetwork) -> None:
        _, b, c = network.managers.values()
        record = GroupRecord((A1.public, B1.public), "", "", True, GroupType.PANTHEON, b"seed")
        with refused("PrivacyGroupNotStored"):
            c.groups.receive_announcement(encode_orion_group(record))
        b.groups.receive_announcement(encode_orion_group(record))
        b.groups.receive_announcement(encode_orion_group(replace(record, active=False)))
        b.groups.receive_announcement(encode_orion_group(record))
        assert b.find_groups(record.members) == []

    def test_a_key_stays_where_it_was_first_announced(self, network: ManagerNetwork) -> None:
        peers = PeerDirectory([A1.public], "http://a")
        peers.add_party_info(PartyInfo("http://b", (), {B1.public: "http://b"}))
        peers.add_party_info(PartyInfo("http://evil", (), {B1.public: "http://evil", A1.public: "http://evil"}))
        assert (peers.url_of(B1.public), peers.url_of(A1.public)) == ("http://b", "http://a")


class TestStore:
    def test_payloads_groups_and_nodes_survive_a_restart_and_hold_no_plaintext(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'payloads.db'}"
        network = ManagerNetwork()
        a = network.add("http://a", [A1, A2], PayloadStore(url))
        key = a.send(SECRET, A1.public, [A2.public])
        group = a.create_group([A1.public, A2.public], A1.public)
        network.stores["http://a"].put_known_nodes({B1.public: "http://b"})
        network.stores["http://a"].close()
        again = PayloadStore(url)
        b = network.add("http://a", [A1, A2], again)
        assert b.receive(key, A2.public).payload == SECRET
        assert group in b.find_groups([A1.public, A2.public])
        assert again.read_known_nodes() == {B1.public: "http://b"}
        again.close()
        assert all(SECRET not in file.read_bytes() for file in tmp_path.iterdir())
        assert all(A1.private not in file.read_bytes() for file in tmp_path.iterdir())


def test_missing_payloads_are_asked_for_ever_more_rarely() -> None:
    now = [0.0]
    missing = MissingPayloads(lambda: now[0])
    missing.add_missing(b"key")
    asked = []
    for _ in range(3000):
        asked += [now[0] for _ in missing.begin_due_attempts(5)]
        missing.add_missing(b"key")
        now[0] += 0.5
    assert asked[:5] == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert len(asked) == FETCH_ATTEMPTS
    missing.remove_found(b"key")
    assert len(missing) == 0


def junk_keys(count: int) -> list[bytes]:
    return [number.to_bytes(32) for number in range(count)]


class TestOrderOfQuestions:
    """Any account can send markers of payloads that no manager has. 64 payloads are asked for in a second."""

    KEY, SIGNER, STRANGER = b"\xff" * 32, b"\x01" * 20, b"\x02" * 20

    def test_a_known_signers_payload_comes_before_any_number_of_others(self) -> None:
        missing = MissingPayloads(lambda: 0.0)
        for key in junk_keys(MAX_MISSING_PAYLOADS):
            missing.add_missing(key)
            missing.set_signer(key, key[:20], is_known=False)
        missing.add_missing(self.KEY)
        missing.set_signer(self.KEY, self.SIGNER, is_known=True)
        assert missing.begin_due_attempts(64)[0] == self.KEY
        assert len(missing) == MAX_MISSING_PAYLOADS

    def test_each_unknown_signer_has_a_turn(self) -> None:
        missing = MissingPayloads(lambda: 0.0)
        for key in junk_keys(1000):
            missing.add_missing(key)
            missing.set_signer(key, self.STRANGER, is_known=False)
        missing.add_missing(self.KEY)
        missing.set_signer(self.KEY, self.SIGNER, is_known=False)
        assert self.KEY in missing.begin_due_attempts(64)[:2]

    def test_a_known_signer_leaves_questions_for_the_others(self) -> None:
        missing = MissingPayloads(lambda: 0.0)
        for key in junk_keys(1000):
            missing.add_missing(key)
            missing.set_signer(key, self.SIGNER, is_known=True)
        missing.add_missing(self.KEY)
        assert self.KEY in missing.begin_due_attempts(64)
        missing.remove_found(self.KEY)
        assert len(missing.begin_due_attempts(64)) == 64, "no question is left out"

    def test_a_known_signer_does_not_keep_others_out_of_a_full_queue(self) -> None:
        """A stranger becomes known by a marker of another's payload."""
        missing = MissingPayloads(lambda: 0.0)
        for key in junk_keys(MAX_MISSING_PAYLOADS):
            missing.add_missing(key)
            missing.set_signer(key, self.STRANGER, is_known=True)
        missing.add_missing(self.KEY)
        missing.set_signer(self.KEY, self.SIGNER, is_known=True)
        assert self.KEY in missing.begin_due_attempts(64)

    def test_many_known_signers_do_not_either(self) -> None:
        missing = MissingPayloads(lambda: 0.0)
        for number, key in enumerate(junk_keys(MAX_MISSING_PAYLOADS)):
            missing.add_missing(key)
            missing.set_signer(key, bytes([number // 1_000]) * 20, is_known=True)
        missing.set_signer(self.KEY, b"\xfe" * 20, is_known=True)
        for number in range(MAX_MISSING_PAYLOADS):
            missing.set_signer(b"other" + number.to_bytes(27), b"\xfd" * 20, is_known=True)
        assert self.KEY in missing.begin_due_attempts(64)
        assert len(missing) == MAX_MISSING_PAYLOADS

    def test_what_was_asked_for_waits_for_what_was_not(self) -> None:
        """Without signers, as from a node in another process."""
        now = [0.0]
        missing = MissingPayloads(lambda: now[0])
        for key in junk_keys(640):
            missing.add_missing(key)
        missing.add_missing(self.KEY)
        asked = []
        for _ in range(11):
            asked += missing.begin_due_attempts(64)
            now[0] += 1.0
        assert asked[:640] == junk_keys(640)
        assert asked[640] == self.KEY

    def test_a_strangers_marker_of_the_same_payload_does_not_lower_it(self) -> None:
        missing = MissingPayloads(lambda: 0.0)
        for key in junk_keys(100):
            missing.add_missing(key)
        missing.add_missing(self.KEY)
        for signer, is_known in ((self.STRANGER, False), (self.SIGNER, True), (self.STRANGER, False)):
            missing.set_signer(self.KEY, signer, is_known=is_known)
        assert missing.begin_due_attempts(64)[0] == self.KEY


def test_no_secret_is_in_a_repr_an_error_or_the_log(
    network: ManagerNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    a = network.managers["http://a"]
    got = a.receive(a.send(SECRET, A1.public, [B1.public]))
    shown = repr(got) + repr(A1) + repr(KeyRing([A1])) + repr(a)
    network.down.add("http://b")
    with refused("NodePropagatingToAllPeers") as error:
        a.send(SECRET, A1.public, [B1.public])
    output = capsys.readouterr()
    shown += repr(error.value) + output.out + output.err
    for secret in (SECRET, A1.private):
        assert secret.decode("latin-1") not in shown
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
