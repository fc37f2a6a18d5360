"""Requests between managers whose author proves its key. Orion's protocol has no such requests.

The requester gets a challenge. It sends the request and the challenge in a NaCl box between its key and the other manager's
key. The answer is in such a box too. A challenge takes no memory. Requests are counted by key. This module must not know the
content of a request.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nacl.exceptions

from lacnode.privacy.keys import KEY_BYTES, KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import CborError, CborFields, decode_map, encode_map
from lacnode.privacy.manager.peer_sender import REFUSED_REPLY, PeerSender
from lacnode.privacy.transaction_manager import EnclaveError
from lacnode.rate_limited_log import RateLimitedLog

CHALLENGE_PATH = "/lacnode/challenge"
NONCE_BYTES, MAC_BYTES = 24, 32
CHALLENGE_SIZE = 8 + MAC_BYTES
CHALLENGE_VALID_SECONDS, CHALLENGE_REUSE_SECONDS = 60, 30.0
"""How long a challenge is valid, and how long its requester uses it. The second one is shorter, because the answer with
the challenge took a while."""

MAX_REMEMBERED_CHALLENGES = 4096
QUOTA_PERIOD_SECONDS = 60.0
MAX_REQUESTERS = 4096

UNREADABLE_CODE, REFUSED_CODE = "ObjectJsonDeserialization", "EnclaveNotPayloadOwner"

_UNUSABLE = (nacl.exceptions.CryptoError, ValueError, RuntimeError)
"""The errors of a key, a box or a record that is not valid."""


@dataclass(frozen=True, slots=True)
class ProvenRequest:
    """A request to the own key `own`. Its author has proven that it has the key `requester` (32 bytes).

    The module that knows the request reads its `fields`. The challenge is not among them.
    """

    requester: bytes
    own: KeyPair
    fields: CborFields

    def seal_answer(self, answer: bytes) -> bytes:
        """Return `answer` in a box (CBOR) that only the requester and this manager can open."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        box = self.own.seal_box(answer, nonce, self.requester)
        return encode_map({"nonce": nonce, "box": box})


class RequestAuthenticator:
    """Issues challenges to other managers and opens requests that have a valid challenge. Safe to use from several
    threads. `clock` returns monotonic seconds."""

    def __init__(self, keys: KeyRing, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._clock = clock
        # A challenge is a time and a MAC with this secret. It is checked without a table of challenges, which any
        # machine could fill. A restart makes all challenges invalid, and the requesters ask again.
        self._secret = secrets.token_bytes(32)

    def own_pair(self, public: bytes) -> KeyPair | None:
        """Return the own pair with this public key (32 bytes). None if it is no own key."""
        return self._keys.find_pair(public)

    def issue_challenge(self, body: bytes) -> bytes:
        """Return a challenge (CBOR) for the requester's key, which the request in `body` (CBOR) names. The challenge is
        valid for `CHALLENGE_VALID_SECONDS`, for any number of requests of this key. The key is not proven here.

        EnclaveError `EnclaveNoMatchingPrivateKey` if the request names another receiver. EnclaveError
        `ObjectJsonDeserialization` if it is malformed.
        """
        try:
            fields = decode_map(body, "challenge request")
            requester, to = fields.bytes("from", KEY_BYTES), fields.bytes("to", KEY_BYTES)
            fields.check_no_fields_left()
        except CborError:
            raise EnclaveError(UNREADABLE_CODE) from None
        if self._keys.find_pair(to) is None:
            raise EnclaveError("EnclaveNoMatchingPrivateKey")
        return encode_map({"challenge": self._challenge(requester, int(self._clock()) + CHALLENGE_VALID_SECONDS)})

    def open_request(self, body: bytes) -> ProvenRequest:
        """Open the request in `body` (CBOR) and check that its author has the key that it names and a valid challenge.

        EnclaveError `EnclaveNotPayloadOwner` if the request does not prove this, is for another key, names an own key
        as its author, or if the content of its box is malformed. EnclaveError `ObjectJsonDeserialization` if the
        request around the box is malformed.
        """
        try:
            fields = decode_map(body, "request")
            requester, to = fields.bytes("from", KEY_BYTES), fields.bytes("to", KEY_BYTES)
            nonce, box = fields.bytes("nonce", NONCE_BYTES), fields.bytes("box")
            fields.check_no_fields_left()
        except CborError:
            raise EnclaveError(UNREADABLE_CODE) from None
        # The requester names the receiving key, so that only one box has to be tried. A manager may have many keys.
        own = self._keys.find_pair(to)
        # A box opens from both sides. A box between an own key and an own key would prove nothing: this manager could
        # be tricked into opening a box that it made itself.
        if own is None or self._keys.find_pair(requester) is not None:
            raise EnclaveError(REFUSED_CODE)
        try:
            request = decode_map(own.open_box(box, nonce, requester), "request")
            challenge = request.bytes("challenge", CHALLENGE_SIZE)
        except _UNUSABLE:
            raise EnclaveError(REFUSED_CODE) from None
        # The challenge shows that the request is new. A recorded request is refused after a minute.
        self._check_challenge(requester, challenge)
        return ProvenRequest(requester, own, request)

    def _challenge(self, requester: bytes, until: int) -> bytes:
        # The MAC covers the requester's key. A challenge of one key is of no use for another key.
        stamp = until.to_bytes(8)
        return stamp + hmac.digest(self._secret, stamp + requester, hashlib.sha256)

    def _check_challenge(self, requester: bytes, challenge: bytes) -> None:
        # The MAC is compared first and in constant time. Only then the time in the challenge can be believed.
        until = int.from_bytes(challenge[:8])
        if not hmac.compare_digest(challenge, self._challenge(requester, until)) or self._clock() > until:
            raise EnclaveError(REFUSED_CODE)


class RequestQuota:
    """Bounds the requests of one kind by key: at most `requests` in `QUOTA_PERIOD_SECONDS`. Safe to use from several
    threads. `clock` returns monotonic seconds."""

    def __init__(self, requests: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = requests
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[bytes, tuple[float, int]] = {}

    def count_request(self, requester: bytes) -> None:
        """Count one request of the key `requester` (32 bytes). EnclaveError `EnclaveNotPayloadOwner` if it is one too
        many."""
        with self._lock:
            now = self._clock()
            # Taken out and put at the end again: the order is by the last request.
            since, count = self._seen.pop(requester, (now, 0))
            # A period begins with the first request of a key. A fixed clock period would allow twice the number around
            # its end.
            if now - since >= QUOTA_PERIOD_SECONDS:
                since, count = now, 0
            self._seen[requester] = (since, min(count + 1, self._requests))
            # The table is bounded too, because keys cost nothing. The key that has not asked for the longest time is
            # dropped. To refuse new keys would let a stranger with thousands of keys keep all members out.
            if len(self._seen) > MAX_REQUESTERS:
                del self._seen[next(iter(self._seen))]
            if count >= self._requests:
                raise EnclaveError(REFUSED_CODE)


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request to another manager: the manager's public key (32 bytes), its URL and the fields of the request. The
    challenge is added later."""

    key: bytes
    url: str
    fields: Mapping[str, Any]


class ProvenRequestClient:
    """Sends proven requests to other managers over `sender`. Safe to use from several threads. `clock` returns monotonic
    seconds.

    A challenge is used again for `CHALLENGE_REUSE_SECONDS`: a manager that asks for missing payloads asks each second.
    """

    def __init__(self, sender: PeerSender, clock: Callable[[], float] = time.monotonic) -> None:
        self._sender = sender
        self._clock = clock
        self._lock = threading.Lock()
        # A stranger can have hundreds of URLs, and each is asked again and again.
        self._log = RateLimitedLog("privacy", clock)
        # By the own key, the asked key and the URL: the challenge, and the time until which it is used.
        self._challenges: dict[tuple[bytes, bytes, str], tuple[bytes, float]] = {}

    def send(self, path: str, own: KeyPair, asked: Sequence[OutgoingRequest]) -> list[CborFields | None]:
        """Send requests of the own key `own` to `path` of several managers at the same time, as far as the limit of
        open calls of the sender allows. Return the fields of the answers in the order of `asked`. This blocks for four
        rounds of calls at most.

        `asked` must have each URL once. None stands for no answer and for an answer that cannot be used. No error is
        raised for it.
        """
        remembered = {one.url: challenge for one in asked if (challenge := self._find_challenge(own, one)) is not None}
        # Each round waits for the slowest manager once.
        fresh = self._request_challenges(own, [one for one in asked if one.url not in remembered])
        answers = self._post(path, own, asked, {**fresh, **remembered})
        # A manager that has started again refuses its old challenges.
        refused = [one for one in asked if one.url in remembered and answers.get(one.url) == REFUSED_REPLY]
        if refused:
            answers = {**answers, **self._post(path, own, refused, self._request_challenges(own, refused))}
        return [self._open_answer(own, one, answers.get(one.url)) for one in asked]

    def _post(
        self, path: str, own: KeyPair, asked: Sequence[OutgoingRequest], challenges: Mapping[str, bytes]
    ) -> Mapping[str, bytes | None]:
        bodies: dict[str, bytes] = {}
        for one in asked:
            # A manager without a challenge does not get the request: an Orion refuses the path, or no manager is there.
            body = self._seal_request(own, one, challenges[one.url]) if one.url in challenges else None
            if body is not None:
                bodies[one.url] = body
        return self._sender.post(path, bodies) if bodies else {}

    def _request_challenges(self, own: KeyPair, asked: Sequence[OutgoingRequest]) -> dict[str, bytes]:
        """Return new challenges by URL, of those managers that give one. They are remembered."""
        introductions = {one.url: encode_map({"from": own.public, "to": one.key}) for one in asked}
        answers = self._sender.post(CHALLENGE_PATH, introductions) if introductions else {}
        found: dict[str, bytes] = {}
        for one in asked:
            challenge = self._read_challenge(one, answers.get(one.url))
            if challenge is not None:
                found[one.url] = challenge
        with self._lock:
            # The table is emptied as a whole: each entry costs one call.
            if len(self._challenges) + len(found) > MAX_REMEMBERED_CHALLENGES:
                self._challenges.clear()
            until = self._clock() + CHALLENGE_REUSE_SECONDS
            for one in asked:
                if one.url in found:
                    self._challenges[own.public, one.key, one.url] = (found[one.url], until)
        return found

    def _find_challenge(self, own: KeyPair, one: OutgoingRequest) -> bytes | None:
        with self._lock:
            challenge, until = self._challenges.get((own.public, one.key, one.url), (None, 0.0))
        return challenge if self._clock() < until else None

    def _read_challenge(self, one: OutgoingRequest, answer: bytes | None) -> bytes | None:
        if not answer:
            return None
        try:
            return decode_map(answer, "challenge").bytes("challenge", CHALLENGE_SIZE)
        except CborError as error:
            self._log_unusable("challenge", one, error)
            return None

    def _seal_request(self, own: KeyPair, one: OutgoingRequest, challenge: bytes) -> bytes | None:
        try:
            nonce = secrets.token_bytes(NONCE_BYTES)
            box = own.seal_box(encode_map({"challenge": challenge, **one.fields}), nonce, one.key)
        except _UNUSABLE as error:
            self._log_unusable("key", one, error)
            return None
        return encode_map({"from": own.public, "to": one.key, "nonce": nonce, "box": box})

    def _open_answer(self, own: KeyPair, one: OutgoingRequest, answer: bytes | None) -> CborFields | None:
        if not answer:
            return None
        try:
            sealed = decode_map(answer, "answer")
            box, nonce = sealed.bytes("box"), sealed.bytes("nonce", NONCE_BYTES)
            return decode_map(own.open_box(box, nonce, one.key), "answer")
        except _UNUSABLE as error:
            self._log_unusable("answer", one, error)
            return None

    def _log_unusable(self, cause: str, one: OutgoingRequest, error: Exception) -> None:
        # The texts of CborError are this project's. Other texts are from a library and may quote parts of the message.
        why = str(error) if isinstance(error, CborError) else "it is not sealed by the key that was asked"
        # The text is no cause: it may have a number that the other manager chooses.
        self._log.info(cause, f"{one.url} answers with what cannot be used: {why}")
