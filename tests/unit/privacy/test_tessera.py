"""Our manager among Tesseras that lie, fail or are of another mode: what it believes, sends and keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from lacnode.privacy.keys import KeyPair, KeyRing, to_base64
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload, decrypt_payload, encrypt_payload
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.peer_sender import PeerCall
from lacnode.privacy.manager.tessera.tessera_group import encode_tessera_group
from lacnode.privacy.manager.tessera.tessera_key_challenge import TesseraKeyChallenge
from lacnode.privacy.manager.tessera.tessera_nodes import (
    ASKING_SECONDS,
    MAX_PAYLOADS_ASKED_AT_ONCE,
    RESEND_PATH,
    TesseraNodes,
)
from lacnode.privacy.manager.tessera.tessera_payload import NO_GROUP, encode_tessera_payload
from lacnode.privacy.manager.tessera.tessera_peer_api import TesseraPeerApi
from lacnode.privacy.manager.tessera.tessera_recovery import TesseraRecovery
from lacnode.privacy.transaction_manager import EnclaveError, GroupType
from tests.support.fake_tessera import FakeTessera
from tests.support.logs import logs_of_this_thread
from tests.support.manager_network import ManagerNetwork

OWN, THEIRS, SECOND, STRANGER = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3, 4))
OWN_URL, URL = "http://own:8080", "http://tessera:9001"
SECRET = b"certificate ES-0001 is suspended"


class Net:
    """PeerCaller by direct calls."""

    def __init__(self, tesseras: dict[str, FakeTessera]) -> None:
        self.tesseras = tesseras

    def call(self, calls: Sequence[PeerCall]) -> Sequence[bytes | None]:
        return [self.tesseras[call.url].answer(call) for call in calls]


def fake(claims: tuple[bytes, ...] = ()) -> FakeTessera:
    """A Tessera with two keys."""
    return FakeTessera((THEIRS, SECOND), URL + "/", claims)


@dataclass
class Ours:
    manager: LocalTransactionManager
    nodes: TesseraNodes
    responder: TesseraPeerApi


def ours(*tesseras: FakeTessera, store: PayloadStore | None = None) -> Ours:
    """Our manager, which knows `tesseras` at their URLs and has met them."""
    by_url = {tessera.at.rstrip("/"): tessera for tessera in tesseras}
    keys = KeyRing([OWN])
    nodes = TesseraNodes(keys, list(by_url) or [URL], Net(by_url), lambda: OWN_URL)
    manager = LocalTransactionManager(
        keys, store or PayloadStore(), PeerDirectory(keys.public_keys, OWN_URL), ManagerNetwork(), tessera=nodes
    )
    if tesseras:
        nodes.exchange_party_info()
    return Ours(manager, nodes, TesseraPeerApi(manager, nodes))


class TestWhoIsWhere:
    def test_a_tessera_is_told_our_keys_and_believed_what_it_proves(self) -> None:
        tessera = fake(claims=(STRANGER.public,))
        found = ours(tessera)
        assert tessera.told == {OWN.public}
        assert found.nodes.key_urls == {THEIRS.public: URL, SECOND.public: URL}
        with pytest.raises(EnclaveError, match="NodeMissingPeerUrl"):
            found.manager.send(SECRET, None, [STRANGER.public])

    def test_keys_elsewhere_are_not_taken_from_it_and_the_operator_is_told_once(self) -> None:
        tessera = FakeTessera((THEIRS,), "http://another:9001/")
        nodes = TesseraNodes(KeyRing([OWN]), [URL], Net({URL: tessera}), lambda: OWN_URL)
        with logs_of_this_thread() as logs:
            nodes.exchange_party_info()
            nodes.exchange_party_info()
        assert nodes.key_urls == {}
        assert [entry["event"] for entry in logs] == [
            f"the Tessera at {URL} names no key there: its serverAddress may be another"
        ]

    def test_keys_without_a_proof_do_not_fill_the_log(self) -> None:
        """It is asked every five seconds, and each time it lists other keys."""
        tessera = fake()
        nodes = TesseraNodes(KeyRing([OWN]), [URL], Net({URL: tessera}), lambda: OWN_URL)
        with logs_of_this_thread() as logs:
            for _ in range(3):
                tessera.claims = (*(KeyPair.generate().public for _ in range(20)), bytes(32))
                nodes.exchange_party_info()
        assert set(nodes.key_urls) == {THEIRS.public, SECOND.public}
        assert 0 < len(logs) <= 3, "one for each reason"

    @pytest.mark.parametrize(
        "answer", [b"", b"[]", b'{"url": 1, "keys": []}', b'{"url": "http://a", "keys": [{"key": "x"}]}']
    )
    def test_an_answer_that_is_none_is_no_ones_end(self, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        tessera = fake()
        monkeypatch.setattr(tessera, "answer", lambda call: answer)
        assert ours(tessera).nodes.key_urls == {}

    def test_a_key_stays_where_it_was_proven_until_that_tessera_leaves_it(self) -> None:
        first, second = fake(), FakeTessera((THEIRS,), "http://second:9001/")
        found = ours(first, second)
        assert found.nodes.url_of(THEIRS.public) == URL
        first.keys = (SECOND,)
        found.nodes.exchange_party_info()
        assert found.nodes.url_of(THEIRS.public) == "http://second:9001"

    def test_a_key_that_is_known_of_orions_protocol_stays_there(self) -> None:
        network = ManagerNetwork()
        other = network.add("http://other", [THEIRS])
        nodes = TesseraNodes(KeyRing([OWN]), [URL], Net({URL: fake()}), lambda: OWN_URL)
        nodes.exchange_party_info()
        peers = PeerDirectory([OWN.public], OWN_URL, known={THEIRS.public: "http://other"})
        manager = LocalTransactionManager(KeyRing([OWN]), PayloadStore(), peers, network, tessera=nodes)
        peers.set_own_url(OWN_URL)
        assert other.receive(manager.send(SECRET, None, [THEIRS.public])).payload == SECRET


class TestSending:
    def test_each_key_has_its_own_box_and_no_one_elses(self) -> None:
        tessera = fake()
        key = ours(tessera).manager.send(SECRET, None, [THEIRS.public, SECOND.public])
        assert [(payload.key, recipients) for payload, recipients in tessera.payloads] == [
            (key, (THEIRS.public,)), (key, (SECOND.public,)),
        ]  # fmt: skip
        for (payload, _), pair in zip(tessera.payloads, (THEIRS, SECOND), strict=True):
            assert decrypt_payload(payload, pair) == (0, SECRET)

    def test_what_is_not_confirmed_is_told_to_the_sender(self) -> None:
        gone, other_mode = fake(), fake()
        managers = [ours(gone).manager, ours(other_mode).manager]
        gone.is_down = True
        # Outside of orion mode a Tessera names payloads by SHA3-512.
        other_mode.names = lambda payload: "A" * 88
        for manager in managers:
            with pytest.raises(EnclaveError, match="NodePropagatingToAllPeers") as error:
                manager.send(SECRET, None, [THEIRS.public])
            assert to_base64(THEIRS.public) in str(error.value.detail)

    def test_a_group_and_its_end_are_told(self) -> None:
        tessera = fake()
        manager = ours(tessera).manager
        group = manager.create_group([OWN.public, THEIRS.public], None, "customs")
        manager.delete_group(group.id, None)
        assert [(record.id, record.active) for record in tessera.groups] == [(group.id, True), (group.id, False)]

    def test_a_group_that_tessera_would_name_otherwise_is_refused(self) -> None:
        tessera = FakeTessera(tuple(KeyPair.from_private_bytes(bytes([number]) * 32) for number in range(10, 17)), URL)
        manager = ours(tessera).manager
        members = [OWN.public, *(pair.public for pair in tessera.keys)]
        for refused in (
            lambda: manager.create_group(members, None),
            lambda: manager.send(SECRET, None, members[1:]),
        ):
            with pytest.raises(EnclaveError, match="EnclavePrivacyGroupIdCreation") as error:
                refused()
            assert "too large for a Tessera" in str(error.value.detail)
        assert manager.send(SECRET, None, members[1:-1])
        assert (len(tessera.payloads), tessera.groups) == (6, [])


def pushed(sender: KeyPair = THEIRS, to: KeyPair = OWN, group_id: bytes = bytes(32)) -> EncryptedPayload:
    return encrypt_payload(SECRET, sender, [to.public], group_id).with_boxes_at([0])


class TestReceiving:
    def test_a_payload_is_kept_and_read(self) -> None:
        found, payload = ours(), pushed()
        assert found.responder.receive_push(encode_tessera_payload(payload, [OWN.public])) == to_base64(payload.key)
        received = found.manager.receive(payload.key)
        assert (received.payload, received.sender) == (SECRET, THEIRS.public)

    @pytest.mark.parametrize(
        ("payload", "code"),
        [
            (pushed(to=STRANGER), "EnclaveKeysCannotDecryptPayload"),
            (pushed(group_id=NO_GROUP), "InvalidPayload"),
            (replace(pushed(), cipher_nonce=b"\1" * 24), "EnclaveKeysCannotDecryptPayload"),
            (replace(pushed(), sender=STRANGER.public), "EnclaveKeysCannotDecryptPayload"),
        ],
    )
    def test_what_is_not_ours_is_refused_and_not_kept(self, payload: EncryptedPayload, code: str) -> None:
        found = ours()
        with pytest.raises(EnclaveError, match=f"^{code}$"):
            found.responder.receive_push(encode_tessera_payload(payload, [OWN.public]))
        assert not found.manager.has_payload(payload.key, OWN.public)

    def test_garbage_is_refused(self) -> None:
        responder = ours().responder
        for answer in (
            responder.receive_push,
            responder.receive_group,
            responder.answer_party_info,
            responder.answer_challenge,
        ):
            for body in (b"", b"\0" * 7, b"\xff" * 400):
                with pytest.raises(EnclaveError, match=r"^InvalidPayload$"):
                    answer(body)

    def test_a_stranger_does_not_send_to_a_group(self) -> None:
        found = ours(fake())
        group = found.manager.create_group([OWN.public, THEIRS.public], None)
        with pytest.raises(EnclaveError, match="PrivacyGroupNotFound"):
            found.responder.receive_push(encode_tessera_payload(pushed(STRANGER, group_id=group.id), [OWN.public]))

    def test_a_group_of_others_is_refused_and_a_deleted_one_stays_deleted(self) -> None:
        found = ours()
        with pytest.raises(EnclaveError, match="PrivacyGroupNotStored"):
            found.responder.receive_group(
                encode_tessera_group(GroupRecord((THEIRS.public,), "", "", True, GroupType.PANTHEON, bytes(20)))
            )
        record = GroupRecord((OWN.public, THEIRS.public), "", "", True, GroupType.PANTHEON, bytes(20))
        for state in (record, replace(record, active=False), record):
            found.responder.receive_group(encode_tessera_group(state))
        with pytest.raises(EnclaveError, match="PrivacyGroupNotFound"):
            found.manager.retrieve_group(record.id)

    def test_our_key_is_proven_and_what_is_said_in_party_info_is_not_believed(self) -> None:
        found = ours()
        question = TesseraKeyChallenge(THEIRS, OWN.public)
        assert question.is_answered_by(found.responder.answer_challenge(question.body))
        assert not question.is_answered_by(
            found.responder.answer_challenge(TesseraKeyChallenge(THEIRS, OWN.public).body)
        )
        with pytest.raises(EnclaveError):
            found.responder.answer_challenge(TesseraKeyChallenge(THEIRS, STRANGER.public).body)


class TestRecovery:
    def test_both_directions_come_back_and_what_a_tessera_makes_up_does_not(self) -> None:
        tessera = fake()
        sent = ours(tessera).manager.send(SECRET, None, [THEIRS.public])
        received, foreign = pushed(), pushed(to=STRANGER)
        tessera.payloads += [(received, (OWN.public,)), (foreign, (STRANGER.public,))]
        found = ours(tessera)
        recovery = TesseraRecovery(found.manager, found.nodes)
        assert recovery.recover_payloads([sent, received.key, foreign.key, bytes(32)]) == 2
        for key in (sent, received.key):
            assert found.manager.receive(key).payload == SECRET
        assert recovery.recover_payloads([sent]) == 0, "what is here already does not count"

    def test_another_payload_than_was_asked_for_is_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tessera, other = fake(), pushed()
        monkeypatch.setattr(tessera, "_resend", lambda body: encode_tessera_payload(other, [OWN.public]))
        found = ours(tessera)
        assert TesseraRecovery(found.manager, found.nodes).recover_payloads([bytes(32)]) == 0
        assert not found.manager.has_payload(other.key, OWN.public)

    def test_a_few_payloads_are_asked_for_at_a_time(self) -> None:
        """Each answer may have 16 MiB."""
        net = TimedNet({URL: fake()})
        sent = [pushed() for _ in range(64)]
        net.tesseras[URL].payloads += [(one, (OWN.public,)) for one in sent]
        nodes = TesseraNodes(KeyRing([OWN]), [URL], net, lambda: OWN_URL)
        found = nodes.fetch_payloads([one.key for one in sent], [OWN.public])
        assert next(found)[0] == OWN.public
        assert net.asked == [MAX_PAYLOADS_ASKED_AT_ONCE], "the next ones are asked for when these are taken"
        assert len(list(found)) == 63
        assert max(net.asked) <= MAX_PAYLOADS_ASKED_AT_ONCE

    def test_one_that_answers_slowly_does_not_hold_up_the_next_one(self) -> None:
        slow, sent = FakeTessera((SECOND,), "http://slow:9001/"), pushed()
        net = TimedNet({"http://slow:9001": slow, URL: fake()}, {"http://slow:9001": ASKING_SECONDS - 1})
        net.tesseras[URL].payloads.append((sent, (OWN.public,)))
        nodes = TesseraNodes(KeyRing([OWN]), ["http://slow:9001", URL], net, lambda: OWN_URL, clock=lambda: net.now)
        wanted = [sent.key, *(number.to_bytes(32) for number in range(63))]
        assert [found.payload.key for _, found in nodes.fetch_payloads(wanted, [OWN.public])] == [sent.key]
        assert net.now <= 3 * ASKING_SECONDS


class TimedNet(Net):
    """Calls of a Tessera take the seconds in `seconds`. `asked` are the numbers of payloads that were asked for at once."""

    def __init__(self, tesseras: dict[str, FakeTessera], seconds: Mapping[str, float] | None = None) -> None:
        super().__init__(tesseras)
        self.seconds = seconds or {}
        self.now = 0.0
        self.asked: list[int] = []

    def call(self, calls: Sequence[PeerCall]) -> Sequence[bytes | None]:
        self.asked.append(sum(call.path == RESEND_PATH for call in calls))
        self.now += max(self.seconds.get(call.url, 0.0) for call in calls)
        return super().call(calls)
