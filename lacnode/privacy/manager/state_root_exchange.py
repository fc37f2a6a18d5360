"""The exchange of state roots with other managers: the questions of this manager and its answers.

A manager without a node in its process answers that it knows no root. A request proves its key (see `proven_requests`). It
has the requester's own roots. The other manager takes them only as a reason to ask for roots itself.
"""

import hmac
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lacnode.privacy.keys import KEY_BYTES
from lacnode.privacy.manager.cbor_records import CborError, CborFields, encode_array, encode_map
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.privacy.manager.proven_requests import (
    REFUSED_CODE,
    OutgoingRequest,
    ProvenRequestClient,
    RequestAuthenticator,
    RequestQuota,
)
from lacnode.privacy.state_root_queries import (
    MAX_STATE_ROOT_QUERIES,
    GroupState,
    StateRootQuery,
    StateRootReplies,
    StateRootSource,
)
from lacnode.privacy.transaction_manager import EnclaveError
from lacnode.rate_limited_log import RateLimitedLog

ROOTS_PATH = "/lacnode/roots"
MAX_STATE_ROOT_REQUESTS = 60
"""The largest number of requests of one key in a minute."""

ANSWER_SECONDS = 0.5
"""The time limit for all questions of one request. The questions after it have no answer."""

MAX_MANAGERS_ASKED_AT_ONCE = 8
"""The largest number of managers that are asked at the same time. Slow managers must leave connections for payloads."""

ID_BYTES, HASH_BYTES = 16, 32


class StateRootResponder:
    """Answers other managers' questions for state roots. `source` is the node that knows them. Until it is set, the
    answer is that no root is known. `allowance` bounds the requests of one key."""

    def __init__(self, challenges: RequestAuthenticator, allowance: RequestQuota | None = None) -> None:
        self.source: StateRootSource | None = None
        self._challenges = challenges
        self._allowance = allowance or RequestQuota(MAX_STATE_ROOT_REQUESTS)

    def answer(self, body: bytes) -> bytes:
        """Return the sealed answer (CBOR) to the questions in `body` (CBOR), as far as the requester may know the
        answers. A state that is not known, not given or not ready within `ANSWER_SECONDS` is left empty.

        EnclaveError `EnclaveNotPayloadOwner` if the requester does not prove its key, has asked too often or asks what
        cannot be read, `ObjectJsonDeserialization` if the request around the box is malformed. StorageError if the
        node's database fails.
        """
        proven = self._challenges.open_request(body)
        try:
            # The number of questions is bounded here, before anything is computed for them.
            id_, questions = _decode_queries(proven.fields)
        except CborError:
            raise EnclaveError(REFUSED_CODE) from None
        # The proof was checked above. A stranger cannot use up the requests of another key.
        self._allowance.count_request(proven.requester)
        deadline = time.monotonic() + ANSWER_SECONDS
        states = [self._find_state(proven.requester, proven.own.public, question, deadline) for question in questions]
        return proven.seal_answer(
            encode_map({"id": id_, "states": encode_array([_encode_state(state) for state in states])})
        )

    def _find_state(self, asker: bytes, own: bytes, question: StateRootQuery, deadline: float) -> GroupState | None:
        # A question without an answer gets an empty map. The requester must not learn whether the group is unknown,
        # the root is not ready, or it is no member.
        if self.source is None or time.monotonic() > deadline:
            # An old root may need minutes of reading. The deadline protects the node, and the asker asks again later.
            return None
        return self.source.answer(asker, own, question, deadline)


class PeerStateRootClient:
    """Asks other managers for state roots over `sender`: a `StateRootClient`. An Orion does not know the request and
    does not answer."""

    def __init__(self, manager: LocalTransactionManager, sender: PeerSender) -> None:
        self._manager = manager
        self._requests = ProvenRequestClient(sender)
        # A stranger can announce the key of a member at any URL.
        self._log = RateLimitedLog("privacy", time.monotonic)

    @property
    def own_keys(self) -> Sequence[bytes]:
        """The own public keys (32 bytes each) that can ask other members, the default one first."""
        return self._manager.keys.public_keys

    def ask(self, own: bytes, questions: Mapping[bytes, Sequence[StateRootQuery]]) -> StateRootReplies:
        """As the own key `own`, ask the manager of each key in `questions` (32 bytes) for the states of groups, at most
        `MAX_STATE_ROOT_QUERIES` each. Return the replies by key, in the order of the questions. None in a reply is a
        state that is not known there or not given. A key without a known manager, or whose manager gives no usable
        answer, has no reply. This blocks for the calls.

        EnclaveError `EnclaveNoMatchingPrivateKey` if `own` is not an own key.
        """
        pair, found = self._manager.keys.sender_pair(own), dict[bytes, Sequence[GroupState | None]]()
        for wave in self._managers_to_ask(questions):
            # The random id ties an answer to its request. A manager could otherwise replay an older sealed answer.
            ids = {key: secrets.token_bytes(ID_BYTES) for key in wave}
            asked = [OutgoingRequest(key, url, _request_fields(ids[key], questions[key])) for key, url in wave.items()]
            for one, answer in zip(asked, self._requests.send(ROOTS_PATH, pair, asked), strict=True):
                if answer is None:
                    continue
                try:
                    found[one.key] = _decode_states(answer, ids[one.key], questions[one.key])
                except CborError as error:
                    text = f"{one.url} answers with state roots that cannot be used: {error}"
                    self._log.info("unusable", text)
        return found

    def _managers_to_ask(self, keys: Mapping[bytes, object]) -> Iterator[Mapping[bytes, str]]:
        """Yield the keys to ask at the same time, with their URLs: each URL once, and a bounded number of them."""
        places = {key: url for key in keys if (url := self._manager.party_info.keys.get(key)) is not None}
        while places:
            # A dictionary by URL keeps one key for each URL: `reversed` makes it the first one. The other keys come
            # later.
            once = {url: key for key, url in reversed(places.items())}
            wave = {key: url for url, key in list(once.items())[:MAX_MANAGERS_ASKED_AT_ONCE]}
            yield wave
            places = {key: url for key, url in places.items() if key not in wave}


def _request_fields(id_: bytes, questions: Sequence[StateRootQuery]) -> dict[str, Any]:
    parts = [encode_map({"group": one.group_id, "number": one.number, "root": one.asker_root}) for one in questions]
    return {"id": id_, "questions": encode_array(parts)}


def _decode_queries(fields: CborFields) -> tuple[bytes, list[StateRootQuery]]:
    id_, items = fields.bytes("id", ID_BYTES), fields.read_field("questions", list)
    fields.check_no_fields_left()
    if len(items) > MAX_STATE_ROOT_QUERIES:
        raise CborError(f"questions: at most {MAX_STATE_ROOT_QUERIES} were expected, found {len(items)}")
    return id_, [_decode_query(CborFields(item, "question")) for item in items]


def _decode_query(fields: CborFields) -> StateRootQuery:
    group_id, root = fields.bytes("group", KEY_BYTES), fields.bytes("root", HASH_BYTES)
    question = StateRootQuery(group_id, _read_block_number(fields), root)
    fields.check_no_fields_left()
    return question


def _read_block_number(fields: CborFields) -> int:
    number: int = fields.read_field("number", int)
    if not 0 <= number < 1 << 63:
        raise CborError("number: a block number was expected")
    return number


def _encode_state(state: GroupState | None) -> bytes:
    """Encode a state. An unknown state is an empty map."""
    if state is None:
        return encode_map({})
    return encode_map(
        {"number": state.number, "root": state.root, "tried": state.tried_digest, "done": state.succeeded_digest}
    )


def _decode_states(answer: CborFields, id_: bytes, questions: Sequence[StateRootQuery]) -> list[GroupState | None]:
    """Decode the answer to the request with `id_`. CborError if it is malformed or belongs to another request."""
    same, items = hmac.compare_digest(answer.bytes("id", ID_BYTES), id_), answer.read_field("states", list)
    answer.check_no_fields_left()
    if not same or len(items) != len(questions):
        # The answers are matched to the questions by position. A missing one would shift the others to wrong groups.
        raise CborError("states: an answer to each question of this request was expected")
    return [_decode_state(item, question) for item, question in zip(items, questions, strict=True)]


def _decode_state(item: object, question: StateRootQuery) -> GroupState | None:
    # An empty map is no state. The other manager does not know the root or does not give it.
    if item == {}:
        return None
    fields = CborFields(item, "state")
    number, root = _read_block_number(fields), fields.bytes("root", HASH_BYTES)
    tried, done = fields.bytes("tried", HASH_BYTES), fields.bytes("done", HASH_BYTES)
    fields.check_no_fields_left()
    # A root after the block of the question cannot be compared: this node may not have executed that far.
    if number > question.number:
        raise CborError("state.number: a block up to the one in question was expected")
    return GroupState(number, root, tried, done)
