"""Lost and found between managers that call each other: who is served what, and who is not."""

import secrets
from collections.abc import Mapping, Sequence

import nacl.bindings
import pytest

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import decode_map, encode_map
from lacnode.privacy.manager.full_recovery import FullRecovery
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_recovery import (
    MAX_PAGE_BYTES,
    MAX_RECOVERY_REQUESTS,
    PAGE_GROUPS,
    RECOVER_PATH,
    PayloadRecovery,
    RecoveryResponder,
)
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.peer_paths import PUSH_PATH
from lacnode.privacy.manager.peer_sender import REFUSED_REPLY
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH
from lacnode.privacy.manager.proven_requests import (
    CHALLENGE_PATH,
    CHALLENGE_VALID_SECONDS,
    MAX_REQUESTERS,
    RequestAuthenticator,
    RequestQuota,
)
from lacnode.privacy.state.private_transaction import encode_payload_text
from lacnode.privacy.transaction_manager import EnclaveError, GroupType
from tests.support.private_nodes import private
from tests.support.recoveries import ask_all, recover_all

A, B, C = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3))


class Two:
    """A's manager, whose store is whole, and B's, whose store may be lost; `now` is the responder's clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked = 0
        self.stores = {A.public: PayloadStore(), B.public: PayloadStore()}
        self.managers = {pair.public: self._manager(pair) for pair in (A, B)}
        self.challenges = RequestAuthenticator(KeyRing([A]), lambda: self.now)
        self.responder = self.desk_that_allows(MAX_RECOVERY_REQUESTS)

    def desk_that_allows(self, requests: int) -> RecoveryResponder:
        return RecoveryResponder(self.challenges, self.stores[A.public], RequestQuota(requests, lambda: self.now))

    def _manager(self, pair: KeyPair) -> LocalTransactionManager:
        known = {A.public: "http://a", B.public: "http://b"}
        known.pop(pair.public)
        peers = PeerDirectory([pair.public], "http://a" if pair is A else "http://b", known=known)
        return LocalTransactionManager(KeyRing([pair]), self.stores[pair.public], peers, self)

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        (url, body) = next(iter(bodies.items()))
        manager = self.managers[A.public if url == "http://a" else B.public]
        try:
            if path == CHALLENGE_PATH:
                return {url: self.challenges.issue_challenge(body)}
            if path == RECOVER_PATH:
                self.asked += 1
                return {url: self.responder.answer_request(body)}
            answers = {
                PUSH_PATH: manager.intake.receive_push,
                PUSH_PROVEN_GROUP_PATH: manager.groups.receive_announcement_with_proof,
            }
            return {url: answers[path](body).encode() if path in answers else REFUSED_REPLY}
        except EnclaveError:
            return {url: REFUSED_REPLY}

    def lose(self) -> LocalTransactionManager:
        self.stores[B.public] = PayloadStore()
        self.managers[B.public] = self._manager(B)
        return self.managers[B.public]

    def request(
        self, claimed: bytes, secret: bytes, challenge: bytes | None = None, wanted: Sequence[bytes] = ()
    ) -> bytes:
        """A request of who says to be `claimed` and has the key `secret`, for the payloads under the keys `wanted`."""
        if challenge is None:
            challenge = decode_map(
                self.challenges.issue_challenge(encode_map({"from": claimed, "to": A.public})), "challenge"
            ).bytes("challenge")
        inner = encode_map({"challenge": challenge, "after": 0, "wanted": list(wanted)})
        nonce = secrets.token_bytes(24)
        box = nacl.bindings.crypto_box(inner, nonce, A.public, secret)
        return encode_map({"from": claimed, "to": A.public, "nonce": nonce, "box": box})


@pytest.fixture
def two() -> Two:
    return Two()


def test_received_sent_and_groups_come_back_with_no_boxes_but_the_recipients(two: Two) -> None:
    a, b = two.managers.values()
    group = a.create_group([A.public, B.public], A.public)
    received, sent = a.send_to_group(b"from a", A.public, group.id), b.send(b"from b", B.public, [A.public])
    a.send(b"a's own", A.public, [A.public])
    lost = two.lose()
    assert recover_all(lost, two, A) == 2
    assert (lost.receive(received).payload, lost.receive(sent).payload) == (b"from a", b"from b")
    assert lost.retrieve_group(group.id) == group
    held = [two.stores[B.public].find_payload(key) for key in (received, sent)]
    assert [stored and set(stored.parties) for stored in held] == [{A.public, B.public}] * 2
    assert [stored and len(stored.payload.boxes) for stored in held] == [1, 2]
    assert recover_all(lost, two, A) == 0


@pytest.mark.parametrize("text", [60_000, 10])
def test_however_many_groups_strangers_pushed_everything_comes_back(two: Two, text: int) -> None:
    """Each page is one that is read: the bytes of its groups and their number are bounded, wherever the payloads end."""
    a, pages = two.managers[A.public], list[int]()
    keys = [a.send(bytes([number]), A.public, [B.public]) for number in range(3)]
    count = 60 if text > 1_000 else PAGE_GROUPS + 300
    with two.stores[A.public]._database.write() as connection:
        for number in range(count):
            seed = number.to_bytes(20)
            record = GroupRecord((A.public, B.public), "x" * text, "", True, GroupType.PANTHEON, seed)
            two.stores[A.public].groups._put(connection, record, None)
    named = a.create_group([A.public, B.public], A.public)
    transaction = private(group=named.id, private_from=A.public)
    keys.append(a.send_to_group(encode_payload_text(transaction), A.public, named.id))
    recover = two.responder.answer_request

    def measured(body: bytes) -> bytes:
        answer = recover(body)
        pages.append(len(answer))
        return answer

    two.responder.answer_request = measured  # type: ignore[method-assign]
    lost = two.lose()
    assert recover_all(lost, two, A) == 4
    assert all(lost.receive(key) for key in keys)
    assert len(lost.find_groups([A.public, B.public])) == count + 2
    assert len(pages) >= 2
    assert max(pages) < MAX_PAGE_BYTES + 200_000


def test_large_payloads_are_not_read_together(two: Two) -> None:
    store = two.stores[A.public]
    for _ in range(6):
        two.managers[A.public].send(secrets.token_bytes(1_000_000), A.public, [B.public])
    assert len(store.read_payloads(B.public, 0, 64, MAX_PAGE_BYTES)) == 3
    assert recover_all(two.lose(), two, A) == 6


def test_one_payload_is_asked_for_by_its_key(two: Two) -> None:
    a = two.managers[A.public]
    first, second = a.send(b"1", A.public, [B.public]), a.send(b"2", A.public, [B.public])
    lost = two.lose()
    assert PayloadRecovery(lost, two).recover_payloads([second, bytes(32)]) == 1
    assert lost.receive(second).payload == b"2"
    with pytest.raises(EnclaveError, match="EnclavePayloadNotFound"):
        lost.receive(first)


class TestRefused:
    def test_a_key_that_is_only_claimed(self, two: Two) -> None:
        with pytest.raises(EnclaveError, match="EnclaveNotPayloadOwner"):
            two.responder.answer_request(two.request(B.public, C.private))

    def test_the_own_key_of_the_manager(self, two: Two) -> None:
        with pytest.raises(EnclaveError, match="EnclaveNotPayloadOwner"):
            two.responder.answer_request(two.request(A.public, A.private))

    def test_a_challenge_of_another_key_or_of_long_ago(self, two: Two) -> None:
        body = two.challenges.issue_challenge(encode_map({"from": C.public, "to": A.public}))
        of_c = decode_map(body, "challenge").bytes("challenge")
        with pytest.raises(EnclaveError, match="EnclaveNotPayloadOwner"):
            two.responder.answer_request(two.request(B.public, B.private, of_c))
        request = two.request(B.public, B.private)
        two.responder.answer_request(request)
        two.now += CHALLENGE_VALID_SECONDS + 1
        with pytest.raises(EnclaveError, match="EnclaveNotPayloadOwner"):
            two.responder.answer_request(request)

    def test_too_many_requests_of_one_key_but_not_those_of_another(self, two: Two) -> None:
        request = two.request(B.public, B.private)
        for _ in range(MAX_RECOVERY_REQUESTS):
            two.responder.answer_request(request)
        with pytest.raises(EnclaveError, match="EnclaveNotPayloadOwner"):
            two.responder.answer_request(request)
        two.responder.answer_request(two.request(C.public, C.private))

    @pytest.mark.parametrize("by_name", [False, True])
    def test_a_third_party_gets_nothing(self, two: Two, by_name: bool) -> None:
        """Not even if it knows the key of the payload, which is public: a marker on the chain has it."""
        key = two.managers[A.public].send(b"secret", A.public, [B.public])
        request = two.request(C.public, C.private, wanted=[key] if by_name else [])
        answer = decode_map(two.responder.answer_request(request), "answer")
        opened = nacl.bindings.crypto_box_open(answer.bytes("box"), answer.bytes("nonce"), A.public, C.private)
        page = decode_map(opened, "page")
        assert (page.read_field("payloads", list), page.read_field("groups", list), page.read_field("next", int)) == (
            [],
            [],
            0,
        )


def test_a_refused_recovery_goes_on_where_it_was(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lacnode.privacy.manager.payload_recovery.PAGE_PAYLOADS", 2)
    two.responder = two.desk_that_allows(3)
    keys = [two.managers[A.public].send(bytes([number]), A.public, [B.public]) for number in range(10)]
    recovery = FullRecovery(PayloadRecovery(two.lose(), two), clock=lambda: two.now)
    recovery.set_managers({A.public: "http://a"})
    assert ask_all(recovery) == 6
    two.now += 61
    assert ask_all(recovery) == 4
    assert [two.managers[B.public].receive(key).payload for key in keys] == [bytes([number]) for number in range(10)]


def test_payloads_of_others_are_not_read_for_a_question_about_them(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manager asks for the payload of every marker that it does not know. Most of them are others'."""
    a, store, read = two.managers[A.public], two.stores[A.public], list[bytes]()
    others = [a.send(bytes([number]), A.public, [A.public]) for number in range(3)]
    wanted = a.send(b"yours", A.public, [B.public])
    find = store.find_payload

    def noted(key: bytes) -> object:
        read.append(key)
        return find(key)

    lost = two.lose()
    monkeypatch.setattr(store, "find_payload", noted)
    assert PayloadRecovery(lost, two).recover_payloads([*others, wanted, bytes(32)]) == 1
    assert read == [wanted]
    assert lost.receive(wanted).payload == b"yours"


def test_a_stranger_with_thousands_of_keys_keeps_nobody_out(two: Two) -> None:
    quota = RequestQuota(2, lambda: two.now)
    for number in range(MAX_REQUESTERS + 1):
        quota.count_request(number.to_bytes(32))
    quota.count_request(B.public)
    assert len(quota._seen) == MAX_REQUESTERS
    quota.count_request(B.public)
    with pytest.raises(EnclaveError, match="EnclaveNotPayloadOwner"):
        quota.count_request(B.public)
