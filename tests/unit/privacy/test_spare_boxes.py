"""A lost payload has back from any other member, its sender gone: who keeps whose boxes, and who is believed about them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import nacl.bindings
import pytest

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import encode_map
from lacnode.privacy.manager.encrypted_payload import (
    EncryptedPayload,
    encode_orion_payload,
    encrypt_payload,
    open_box_at,
)
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_recovery import RECOVER_PATH, PayloadRecovery, RecoveryResponder
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.peer_paths import PUSH_GROUP_PATH, PUSH_PATH
from lacnode.privacy.manager.peer_sender import REFUSED_REPLY
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH
from lacnode.privacy.manager.proven_requests import CHALLENGE_PATH, RequestAuthenticator
from lacnode.privacy.manager.recovery_boxes import (
    BOX_ENTRY_BYTES,
    PUSH_WITH_BOXES_PATH,
    _recovery_nonce,
    encode_push_with_boxes,
    open_recovery_box,
)
from lacnode.privacy.state.private_transaction import encode_payload_text
from lacnode.privacy.transaction_manager import EnclaveError
from tests.support.private_nodes import private
from tests.support.recoveries import recover_all

SECRET = b"the plaintext of an agreement"
A, B, B2, C, D, X = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in range(1, 7))
URLS = {A.public: "http://a", B.public: "http://b", B2.public: "http://b", C.public: "http://c", D.public: "http://d"}


class Members:
    """Managers that call each other: B has two keys. `gone` do not answer, `orions` do not know our own paths. `rounds` are
    the paths and URLs of what was posted together, `told` the pushes with boxes for others."""

    def __init__(self, always: Sequence[bytes] = ()) -> None:
        self.gone: set[str] = set()
        self.orions: set[str] = set()
        self.rounds: list[tuple[str, set[str]]] = []
        self.told: list[tuple[str, bytes]] = []
        self.always = always
        self.start("http://a", A)
        self.start("http://b", B, B2)
        self.start("http://c", C)
        self.start("http://d", D)

    def start(self, url: str, *pairs: KeyPair) -> LocalTransactionManager:
        """One manager anew, on an empty store."""
        first = not hasattr(self, "managers")
        if first:
            self.managers: dict[str, LocalTransactionManager] = {}
            self.stores: dict[str, PayloadStore] = {}
            self.responders: dict[str, tuple[RequestAuthenticator, RecoveryResponder]] = {}
        keys, store, always = KeyRing(pairs), PayloadStore(), self.always if url == "http://a" else ()
        known = {key: place for key, place in URLS.items() if place != url}
        self.stores[url] = store
        self.managers[url] = LocalTransactionManager(
            keys, store, PeerDirectory(keys.public_keys, url, known=known), self, always
        )
        challenges = RequestAuthenticator(keys)
        self.responders[url] = (challenges, RecoveryResponder(challenges, store, hidden=always))
        return self.managers[url]

    def lose(self, url: str) -> LocalTransactionManager:
        return self.start(
            url, *(self.managers[url].keys.sender_pair(key) for key in self.managers[url].keys.public_keys)
        )

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        self.rounds.append((path, set(bodies)))
        return {url: self._one(url, path, body) for url, body in bodies.items()}

    def _one(self, url: str, path: str, body: bytes) -> bytes | None:
        if url in self.gone:
            return None
        if path.startswith("/lacnode/") and url in self.orions:
            return REFUSED_REPLY
        if path == PUSH_WITH_BOXES_PATH:
            self.told.append((url, body))
        manager, (challenges, responder) = self.managers[url], self.responders[url]
        try:
            if path in (CHALLENGE_PATH, RECOVER_PATH):
                return (challenges.issue_challenge if path == CHALLENGE_PATH else responder.answer_request)(body)
            answers = {
                PUSH_PATH: manager.intake.receive_push,
                PUSH_GROUP_PATH: manager.groups.receive_announcement,
                PUSH_PROVEN_GROUP_PATH: manager.groups.receive_announcement_with_proof,
                PUSH_WITH_BOXES_PATH: manager.intake.receive_push_with_boxes,
            }
            return answers[path](body).encode()
        except EnclaveError:
            return REFUSED_REPLY

    def recover(self, url: str, others: Sequence[KeyPair]) -> int:
        return recover_all(self.managers[url], self, *others)

    def parties(self, url: str, key: bytes) -> set[bytes]:
        stored = self.stores[url].find_payload(key)
        return set() if stored is None else set(stored.parties)


@pytest.fixture
def members() -> Members:
    return Members()


def refused(code: str) -> "pytest.RaisesExc[EnclaveError]":
    return pytest.raises(EnclaveError, match=f"^{code}$")


@pytest.mark.parametrize("helper", [B, D], ids=["b", "d"])
@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "group"])
def test_any_other_recipient_gives_it_back_and_the_sender_is_still_proven(
    members: Members, helper: KeyPair, legacy: bool
) -> None:
    a = members.managers["http://a"]
    recipients = [B.public, C.public, D.public]
    group = a.create_group([A.public, *recipients], A.public)
    key = a.send(SECRET, A.public, recipients) if legacy else a.send_to_group(SECRET, A.public, group.id)
    lost = members.lose("http://c")
    members.gone = {"http://a", "http://b", "http://d"} - {URLS[helper.public]}
    assert members.recover("http://c", [A, B, D]) == 1
    got = lost.receive(key)
    assert (got.payload, got.sender) == (SECRET, A.public)
    assert lost.retrieve_group(group.id) == group


def test_one_by_its_key_too(members: Members) -> None:
    key = members.managers["http://a"].send(SECRET, A.public, [B.public, C.public])
    lost = members.lose("http://c")
    members.gone = {"http://a"}
    assert PayloadRecovery(lost, members).recover_payloads([key]) == 1
    assert lost.receive(key).payload == SECRET


def test_who_was_away_when_it_was_sent_has_it_from_those_who_were_not(members: Members) -> None:
    members.gone = {"http://c"}
    with refused("NodePropagatingToAllPeers"):
        members.managers["http://a"].send(SECRET, A.public, [B.public, C.public])
    members.gone = {"http://a"}
    assert members.recover("http://c", [A, B]) == 1
    stored = members.stores["http://c"].read_payloads(C.public, 0, 1)[0]
    assert members.managers["http://c"].receive(stored.payload.key).payload == SECRET


def test_one_after_the_other_may_lose_its_store_sender_and_two_keys_of_one_manager_too(members: Members) -> None:
    key = members.managers["http://a"].send(SECRET, A.public, [B.public, B2.public, C.public])
    for url, helper in (("http://b", C), ("http://c", B), ("http://a", C), ("http://b", A), ("http://c", B2)):
        lost = members.lose(url)
        assert members.recover(url, [helper]) >= 1
        for own in lost.keys.public_keys:
            got = lost.receive(key, own)
            assert (got.payload, got.sender) == (SECRET, A.public)


def test_a_member_that_knows_only_orions_paths_gets_its_payload_all_the_same(members: Members) -> None:
    members.orions = {"http://b"}
    key = members.managers["http://a"].send(SECRET, A.public, [B.public, C.public])
    assert members.managers["http://b"].receive(key).payload == SECRET
    assert members.parties("http://b", key) == {A.public, B.public}
    assert members.rounds == [(PUSH_WITH_BOXES_PATH, {"http://b", "http://c"}), (PUSH_PATH, {"http://b"})]


def test_our_own_need_one_call_and_nobody_is_called_twice_in_vain(members: Members) -> None:
    members.gone = {"http://c"}
    with refused("NodePropagatingToAllPeers"):
        members.managers["http://a"].send(SECRET, A.public, [B.public, C.public, D.public])
    assert members.rounds == [(PUSH_WITH_BOXES_PATH, {"http://b", "http://c", "http://d"})]


def test_two_members_are_told_nothing_more_than_by_orion(members: Members) -> None:
    members.managers["http://a"].send(SECRET, A.public, [B.public, B2.public])
    assert members.told == []


def test_no_recipient_is_told_of_one_that_only_the_senders_configuration_adds() -> None:
    members = Members(always=[D.public])
    key = members.managers["http://a"].send(SECRET, A.public, [B.public, C.public])
    assert members.managers["http://d"].receive(key).payload == SECRET
    assert D.public not in members.parties("http://b", key) | members.parties("http://c", key)
    assert members.parties("http://d", key) == {A.public, D.public}
    members.lose("http://b")
    assert members.recover("http://b", [A]) == 1
    assert members.parties("http://b", key) == {A.public, B.public, C.public}


def test_who_is_no_party_is_served_nothing(members: Members) -> None:
    members.managers["http://a"].send(SECRET, A.public, [B.public, C.public])
    assert members.recover("http://d", [A, B, C]) == 0


def pushed(
    payload: EncryptedPayload, boxes: Mapping[bytes, bytes], own: KeyPair = A, to: KeyPair = B, key: bytes = b""
) -> bytes:
    """What `own` tells `to` that it sends `payload` with `boxes` for others."""
    return encode_push_with_boxes(encode_orion_payload(payload), key or payload.key, boxes, own, to.public)


def test_a_recipient_seals_nothing_of_its_own_with_the_box_of_another_one(members: Members) -> None:
    """Both know the master key. A box of C with it, from A, would make any text of B one of A: also in a group of A and C
    alone, and by a push that proves nothing."""
    key = members.managers["http://a"].send(SECRET, A.public, [B.public, C.public])
    given = [members.stores["http://b"].find_payload(key)]
    members.lose("http://b")
    assert members.recover("http://b", [A]) == 1
    given.append(members.stores["http://b"].find_payload(key))
    for stored in given:
        assert stored is not None
        master = open_box_at(stored.payload, stored.parties[B.public], A.public, B)
        assert master is not None
        text, group = encode_payload_text(private(private_from=A.public, private_for=[C.public])), (A.public, C.public)
        cipher_text = nacl.bindings.crypto_secretbox(text, bytes(24), master)
        box = stored.payload.boxes[stored.parties[C.public]]
        false = replace(stored.payload, cipher_text=cipher_text, boxes=(box,), group_id=GroupRecord.legacy(group).id)
        nonces = (false.nonce, _recovery_nonce(false), _recovery_nonce(stored.payload))
        for one in [replace(false, nonce=nonce) for nonce in nonces]:
            with refused("EnclaveKeysCannotDecryptPayload"):
                members.managers["http://c"].intake.receive_push(encode_orion_payload(one))
            assert open_recovery_box(one, C) is None


class TestHostile:
    payload = encrypt_payload(SECRET, A, [B.public], bytes(32))
    box: Mapping[bytes, bytes] = {D.public: bytes(48)}

    def test_only_the_sender_is_believed_and_only_of_what_comes_with_it(self, members: Members) -> None:
        b = members.managers["http://b"]
        with refused("InvalidPayload"):
            b.intake.receive_push_with_boxes(pushed(self.payload, self.box, own=C))
        with refused("InvalidPayload"):
            b.intake.receive_push_with_boxes(pushed(self.payload, self.box, key=bytes(32)))
        with refused("EnclaveNoMatchingPrivateKey"):
            b.intake.receive_push_with_boxes(pushed(self.payload, self.box, to=D))
        forged = pushed(self.payload, self.box, own=X).replace(X.public, A.public)
        with refused("EnclaveKeysCannotDecryptPayload"):
            b.intake.receive_push_with_boxes(forged)
        assert members.parties("http://b", self.payload.key) == set()

    def test_what_no_own_key_opens_is_not_kept_for_others(self, members: Members) -> None:
        with refused("EnclaveKeysCannotDecryptPayload"):
            members.managers["http://b"].intake.receive_push_with_boxes(
                pushed(encrypt_payload(SECRET, A, [C.public], bytes(32)), {C.public: bytes(48)})
            )

    def test_a_message_sent_back_to_its_sender_changes_nothing(self, members: Members) -> None:
        key = members.managers["http://a"].send(SECRET, A.public, [B.public, C.public])
        (_, body), _ = members.told
        marked = body.replace(A.public, b"?" * 32).replace(B.public, A.public).replace(b"?" * 32, B.public)
        before = members.parties("http://a", key)
        with refused("InvalidPayload"):
            members.managers["http://a"].intake.receive_push_with_boxes(marked)
        assert members.parties("http://a", key) == before

    def test_boxes_that_are_here_and_those_of_own_keys_are_not_replaced(self, members: Members) -> None:
        b = members.managers["http://b"]
        key = members.managers["http://a"].send(SECRET, A.public, [B.public, C.public])
        stored = members.stores["http://b"].find_payload(key)
        assert stored is not None
        false = {B.public: bytes(48), B2.public: bytes(48), C.public: bytes(48), A.public: bytes(48)}
        b.intake.receive_push_with_boxes(pushed(stored.payload.with_boxes_at([stored.parties[B.public]]), false))
        assert members.parties("http://b", key) == {A.public, B.public, C.public}
        assert b.receive(key).payload == SECRET
        members.lose("http://c")
        assert members.recover("http://c", [B]) == 1

    def test_no_more_boxes_than_a_payload_may_have(self, members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
        b = members.managers["http://b"]
        monkeypatch.setattr("lacnode.privacy.manager.payload_store.MAX_BOXES", 4)
        many = [{bytes([number]) * 32: bytes(48) for number in range(first, first + 3)} for first in (100, 110)]
        with refused("InvalidPayload"):
            b.intake.receive_push_with_boxes(pushed(self.payload, many[0] | many[1]))
        b.intake.receive_push_with_boxes(pushed(self.payload, many[0]))
        with refused("InvalidPayload"):
            b.intake.receive_push_with_boxes(pushed(self.payload, many[1]))
        assert b.receive(self.payload.key).payload == SECRET

    @pytest.mark.parametrize("body", [b"", b"\xbf\xff", b"garbage", encode_map({"from": A.public})])
    def test_garbage(self, members: Members, body: bytes) -> None:
        with refused("ObjectJsonDeserialization"):
            members.managers["http://b"].intake.receive_push_with_boxes(body)

    def test_boxes_cut_short(self, members: Members) -> None:
        with refused("ObjectJsonDeserialization"):
            members.managers["http://b"].intake.receive_push_with_boxes(
                pushed(self.payload, {D.public: bytes(BOX_ENTRY_BYTES - 32 - 1)})
            )

    def test_no_payload_with_it(self, members: Members) -> None:
        body = encode_push_with_boxes(b"garbage", self.payload.key, self.box, A, B.public)
        with refused("ObjectJsonDeserialization"):
            members.managers["http://b"].intake.receive_push_with_boxes(body)
