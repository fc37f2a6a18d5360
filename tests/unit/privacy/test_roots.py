"""Asking another manager for state roots: who is asked, what is believed, and what is refused to whom."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import nacl.bindings
import pytest

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import CborFields, decode_map, encode_array, encode_map
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.peer_sender import REFUSED_REPLY
from lacnode.privacy.manager.proven_requests import (
    CHALLENGE_PATH,
    CHALLENGE_REUSE_SECONDS,
    CHALLENGE_VALID_SECONDS,
    QUOTA_PERIOD_SECONDS,
    OutgoingRequest,
    ProvenRequestClient,
    RequestAuthenticator,
    RequestQuota,
)
from lacnode.privacy.manager.state_root_exchange import (
    MAX_MANAGERS_ASKED_AT_ONCE,
    MAX_STATE_ROOT_REQUESTS,
    ROOTS_PATH,
    PeerStateRootClient,
    StateRootResponder,
)
from lacnode.privacy.state_root_queries import MAX_STATE_ROOT_QUERIES, GroupState, StateRootQuery
from lacnode.privacy.transaction_manager import EnclaveError

A, B, C = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3))
HERE, THERE, ORION = "http://a", "http://b", "http://orion"
GROUP, OTHER = bytes([7]) * 32, bytes([8]) * 32
ROOT, TRIED, DONE = bytes([9]) * 32, bytes([10]) * 32, bytes([11]) * 32
QUESTION = StateRootQuery(GROUP, 5, ROOT)
STATE = GroupState(4, ROOT, TRIED, DONE)
REFUSED = "EnclaveNotPayloadOwner"


class Node:
    """A StateRootSource that knows one group, of which A is a member."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes, StateRootQuery]] = []

    def answer(self, asker: bytes, own: bytes, question: StateRootQuery, deadline: float) -> GroupState | None:
        self.asked.append((asker, own, question))
        return STATE if asker == A.public and question.group_id == GROUP else None


class Wire:
    """A's enquiry and B's responder, and what goes between them. `change` is somebody who changes B's answers."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.node = Node()
        self.challenges = RequestAuthenticator(KeyRing([B]), lambda: self.now)
        self.responder = StateRootResponder(self.challenges, RequestQuota(MAX_STATE_ROOT_REQUESTS, lambda: self.now))
        self.responder.source = self.node
        self.sent: list[tuple[str, str, bytes]] = []
        self.sizes: list[int] = []
        self.change: Callable[[bytes], bytes] = lambda answer: answer
        known = {B.public: THERE, C.public: ORION}
        self.manager = LocalTransactionManager(
            KeyRing([A]), PayloadStore(), PeerDirectory([A.public], HERE, known=known), self
        )
        self.state_root_client = PeerStateRootClient(self.manager, self)

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        self.sizes.append(len(bodies))
        return {url: self._one(url, path, body) for url, body in bodies.items()}

    def _one(self, url: str, path: str, body: bytes) -> bytes | None:
        self.sent.append((url, path, body))
        if url != THERE:
            return None
        try:
            return (
                self.challenges.issue_challenge(body)
                if path == CHALLENGE_PATH
                else self.change(self.responder.answer(body))
            )
        except EnclaveError:
            return REFUSED_REPLY

    def ask(self, *questions: StateRootQuery) -> list[GroupState | None] | None:
        found = self.state_root_client.ask(A.public, {B.public: questions or (QUESTION,)}).get(B.public)
        return None if found is None else list(found)

    def request(self) -> bytes:
        """What A sent to the responder the last time."""
        return [body for _, path, body in self.sent if path == ROOTS_PATH][-1]

    def resealed(self, answer: bytes, **fields: object) -> bytes:
        """An answer of B with other fields in its box."""
        sealed = decode_map(answer, "answer")
        nonce, box = sealed.bytes("nonce"), sealed.bytes("box")
        inner = decode_map(nacl.bindings.crypto_box_open(box, nonce, A.public, B.private), "answer")
        changed = {"id": inner.bytes("id"), "states": inner.read_field("states", list), **fields}
        box = nacl.bindings.crypto_box(encode_map(changed), nonce, A.public, B.private)
        return encode_map({"nonce": nonce, "box": box})


@pytest.fixture
def wire() -> Wire:
    return Wire()


class TestAnswers:
    def test_in_the_order_of_the_questions(self, wire: Wire) -> None:
        assert wire.ask(QUESTION, replace(QUESTION, group_id=OTHER), QUESTION) == [STATE, None, STATE]
        assert wire.node.asked[0] == (A.public, B.public, QUESTION)

    def test_of_a_manager_without_a_node_tell_nothing(self, wire: Wire) -> None:
        wire.responder.source = None
        assert wire.ask() == [None]

    def test_none_of_orion_nor_of_who_is_not_known(self, wire: Wire) -> None:
        stranger = KeyPair.from_private_bytes(bytes([4]) * 32).public
        asked = {key: [QUESTION] for key in (B.public, C.public, stranger)}
        assert wire.state_root_client.ask(A.public, asked) == {B.public: [STATE]}

    def test_managers_are_asked_a_few_at_a_time_and_each_once_at_a_time(self, wire: Wire) -> None:
        """So that some who keep us waiting leave room for payloads."""
        keys = [
            KeyPair.from_private_bytes(bytes([5, number]) * 16).public
            for number in range(2 * MAX_MANAGERS_ASKED_AT_ONCE)
        ]
        places = {key: f"http://{number // 2}" for number, key in enumerate(keys)}
        manager = LocalTransactionManager(
            KeyRing([A]), PayloadStore(), PeerDirectory([A.public], HERE, known=places), wire
        )
        PeerStateRootClient(manager, wire).ask(A.public, {key: [QUESTION] for key in keys})
        assert sorted(url for url, _, _ in wire.sent) == sorted(places.values())
        assert all(size <= MAX_MANAGERS_ASKED_AT_ONCE for size in wire.sizes)

    def test_nothing_goes_in_the_open(self, wire: Wire) -> None:
        wire.ask()
        for _, _, body in wire.sent:
            assert GROUP not in body
            assert ROOT not in body


class TestChallenges:
    """The client of proven requests, with the responder's and the client's clocks at `wire.now`."""

    ASKED = OutgoingRequest(B.public, THERE, {"id": bytes(16), "questions": []})

    def paths(self, wire: Wire, client: ProvenRequestClient) -> list[str]:
        """The paths of one request that is answered."""
        wire.sent.clear()
        assert client.send(ROOTS_PATH, A, [self.ASKED]) != [None]
        return [path for _, path, _ in wire.sent]

    def test_one_serves_for_some_time(self, wire: Wire) -> None:
        client = ProvenRequestClient(wire, lambda: wire.now)
        assert self.paths(wire, client) == [CHALLENGE_PATH, ROOTS_PATH]
        wire.now += CHALLENGE_REUSE_SECONDS - 1
        assert self.paths(wire, client) == [ROOTS_PATH]
        wire.now += 1
        assert self.paths(wire, client) == [CHALLENGE_PATH, ROOTS_PATH]

    def test_a_manager_that_has_started_again_is_asked_for_another(self, wire: Wire) -> None:
        client = ProvenRequestClient(wire, lambda: wire.now)
        self.paths(wire, client)
        wire.challenges = RequestAuthenticator(KeyRing([B]), lambda: wire.now)
        wire.responder = StateRootResponder(wire.challenges)
        wire.responder.source = wire.node
        assert self.paths(wire, client) == [ROOTS_PATH, CHALLENGE_PATH, ROOTS_PATH]
        assert self.paths(wire, client) == [ROOTS_PATH]

    def test_one_key_s_is_not_used_for_another_key(self, wire: Wire) -> None:
        client = ProvenRequestClient(wire, lambda: wire.now)
        self.paths(wire, client)
        wire.sent.clear()
        assert client.send(ROOTS_PATH, C, [self.ASKED]) != [None]
        assert [path for _, path, _ in wire.sent] == [CHALLENGE_PATH, ROOTS_PATH]

    def test_a_request_that_is_refused_is_sent_twice_at_most(self, wire: Wire) -> None:
        client = ProvenRequestClient(wire, lambda: wire.now)
        self.paths(wire, client)
        wire.responder = StateRootResponder(wire.challenges, RequestQuota(0))
        wire.sent.clear()
        assert client.send(ROOTS_PATH, A, [self.ASKED]) == [None]
        assert [path for _, path, _ in wire.sent] == [ROOTS_PATH, CHALLENGE_PATH, ROOTS_PATH]


class TestRefused:
    def test_without_the_key_that_is_claimed(self, wire: Wire) -> None:
        liar, asked = KeyPair(A.public, C.private), OutgoingRequest(B.public, THERE, {"id": bytes(16), "questions": []})
        assert ProvenRequestClient(wire).send(ROOTS_PATH, liar, [asked]) == [None]
        assert ProvenRequestClient(wire).send(ROOTS_PATH, A, [asked]) != [None]

    def test_a_request_of_long_ago(self, wire: Wire) -> None:
        wire.ask()
        wire.now += CHALLENGE_VALID_SECONDS + 1
        with pytest.raises(EnclaveError, match=REFUSED):
            wire.responder.answer(wire.request())

    def test_a_request_that_is_made_again_tells_only_its_author(self, wire: Wire) -> None:
        """Within its minute; the answer is in a box of the author's key."""
        wire.ask()
        sealed = decode_map(wire.responder.answer(wire.request()), "answer")
        nonce, box = sealed.bytes("nonce"), sealed.bytes("box")
        with pytest.raises(nacl.exceptions.CryptoError):
            nacl.bindings.crypto_box_open(box, nonce, B.public, C.private)

    def test_a_request_for_something_else(self, wire: Wire) -> None:
        """What was sealed to ask for lost payloads asks for no roots."""
        given = decode_map(wire.challenges.issue_challenge(encode_map({"from": A.public, "to": B.public})), "challenge")
        inner = encode_map({"challenge": given.bytes("challenge"), "after": 0, "wanted": []})
        box = nacl.bindings.crypto_box(inner, bytes(24), B.public, A.private)
        body = encode_map({"from": A.public, "to": B.public, "nonce": bytes(24), "box": box})
        with pytest.raises(EnclaveError, match=REFUSED):
            wire.responder.answer(body)

    def test_too_many_questions(self, wire: Wire) -> None:
        assert wire.ask(*[QUESTION] * MAX_STATE_ROOT_QUERIES) is not None
        assert wire.ask(*[QUESTION] * (MAX_STATE_ROOT_QUERIES + 1)) is None

    @pytest.mark.parametrize(
        "change", [{"number": -1}, {"number": 1 << 63}, {"asker_root": bytes(31)}, {"group_id": b""}]
    )
    def test_a_question_that_is_none(self, wire: Wire, change: dict[str, int | bytes]) -> None:
        assert wire.ask(replace(QUESTION, **change)) is None  # type: ignore[arg-type]
        assert wire.node.asked == []

    def test_more_requests_than_are_allowed(self, wire: Wire) -> None:
        for _ in range(MAX_STATE_ROOT_REQUESTS):
            assert wire.ask() == [STATE]
        assert wire.ask() is None
        wire.now += QUOTA_PERIOD_SECONDS
        assert wire.ask() == [STATE]


class TestNotBelieved:
    def test_an_answer_that_was_given_before(self, wire: Wire) -> None:
        kept: list[bytes] = []
        wire.change = lambda answer: kept.append(answer) or answer  # type: ignore[func-returns-value]
        wire.ask()
        wire.change = lambda answer: kept[0]
        assert wire.ask() is None

    def test_the_own_request_thrown_back(self, wire: Wire) -> None:
        wire.change = lambda answer: _box_of(wire.request())
        assert wire.ask() is None

    def test_an_answer_by_another_key(self, wire: Wire) -> None:
        wire.change = lambda answer: encode_map({"nonce": bytes(24), "box": decode_map(answer, "answer").bytes("box")})
        assert wire.ask() is None

    @pytest.mark.parametrize("answer", [b"", b"\xbf\xff", b"\xff" * 100])
    def test_what_is_no_answer(self, wire: Wire, answer: bytes) -> None:
        wire.change = lambda _: answer
        assert wire.ask() is None

    @pytest.mark.parametrize(
        "change",
        [{"number": 6}, {"number": -1}, {"root": bytes(31)}, {"tried": b""}, {"done": bytes(33)}, {"more": 1}],
    )
    def test_a_state_that_is_none(self, wire: Wire, change: dict[str, object]) -> None:
        """Block 6, for one, was not asked about."""
        state = {"number": 4, "root": ROOT, "tried": TRIED, "done": DONE, **change}
        wire.change = lambda answer: wire.resealed(answer, states=encode_array([encode_map(state)]))
        assert wire.ask() is None

    def test_more_or_fewer_states_than_questions(self, wire: Wire) -> None:
        for count in (0, 2):
            states = encode_array([encode_map({})] * count)
            wire.change = lambda answer, states=states: wire.resealed(answer, states=states)  # type: ignore[misc]
            assert wire.ask() is None


def _box_of(request: bytes) -> bytes:
    fields: CborFields = decode_map(request, "request")
    return encode_map({"nonce": fields.bytes("nonce"), "box": fields.bytes("box")})
