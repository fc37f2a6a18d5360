"""Requests between managers that prove whose they are: what Orion's peers have no word for.

Whoever asks gets a challenge and answers it in a NaCl box between its key and the other's; the answer is in a box too.
Challenges hold nothing in memory; requests are counted for each key. Must not know what is asked.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nacl.bindings
import nacl.exceptions
import structlog

from lacnode.privacy.keys import KEY_BYTES, KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import CborError, CborFields, decode_map, encode_map
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.privacy.transaction_manager import EnclaveError

log = structlog.get_logger("privacy")

CHALLENGE_PATH = "/lacnode/challenge"
NONCE_BYTES, MAC_BYTES = 24, 32
CHALLENGE_SIZE = 8 + MAC_BYTES
CHALLENGE_VALID_SECONDS = 60
QUOTA_PERIOD_SECONDS = 60.0
MAX_REQUESTERS = 4096

UNREADABLE_CODE, REFUSED_CODE = "ObjectJsonDeserialization", "EnclaveNotPayloadOwner"

_UNUSABLE = (nacl.exceptions.CryptoError, ValueError, RuntimeError)
"""What a key, a box or a record raises that is none."""


@dataclass(frozen=True, slots=True)
class ProvenRequest:
    """A request whose author has proven to have the key `requester`, made to the own key `own`. `fields` are to be taken
    by whoever knows them."""

    requester: bytes
    own: KeyPair
    fields: CborFields

    def seal(self, answer: bytes) -> bytes:
        """`answer` in a box that only the two can open."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        box = nacl.bindings.crypto_box(answer, nonce, self.requester, self.own.private)
        return encode_map({"nonce": nonce, "box": box})


class RequestAuthenticator:
    """Gives challenges, and opens requests that meet them. Safe from several threads."""

    def __init__(self, keys: KeyRing, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._clock = clock
        self._secret = secrets.token_bytes(32)

    def give(self, body: bytes) -> bytes:
        """A challenge for the key in `body`, to be answered to the key named with it."""
        try:
            fields = decode_map(body, "challenge request")
            requester, to = fields.bytes("from", KEY_BYTES), fields.bytes("to", KEY_BYTES)
            fields.end()
        except CborError:
            raise EnclaveError(UNREADABLE_CODE) from None
        if self._keys.find_pair(to) is None:
            raise EnclaveError("EnclaveNoMatchingPrivateKey")
        return encode_map({"challenge": self._challenge(requester, int(self._clock()) + CHALLENGE_VALID_SECONDS)})

    def open(self, body: bytes) -> ProvenRequest:
        """The request in `body`. EnclaveError `EnclaveNotPayloadOwner` unless it proves its key."""
        try:
            fields = decode_map(body, "request")
            requester, to = fields.bytes("from", KEY_BYTES), fields.bytes("to", KEY_BYTES)
            nonce, box = fields.bytes("nonce", NONCE_BYTES), fields.bytes("box")
            fields.end()
        except CborError:
            raise EnclaveError(UNREADABLE_CODE) from None
        own = self._keys.find_pair(to)
        # A box opens from both sides: between an own key and itself it would prove nothing.
        if own is None or self._keys.find_pair(requester) is not None:
            raise EnclaveError(REFUSED_CODE)
        try:
            request = decode_map(nacl.bindings.crypto_box_open(box, nonce, requester, own.private), "request")
            challenge = request.bytes("challenge", CHALLENGE_SIZE)
        except _UNUSABLE:
            raise EnclaveError(REFUSED_CODE) from None
        self._check(requester, challenge)
        return ProvenRequest(requester, own, request)

    def _challenge(self, requester: bytes, until: int) -> bytes:
        stamp = until.to_bytes(8)
        return stamp + hmac.digest(self._secret, stamp + requester, hashlib.sha256)

    def _check(self, requester: bytes, challenge: bytes) -> None:
        until = int.from_bytes(challenge[:8])
        if not hmac.compare_digest(challenge, self._challenge(requester, until)) or self._clock() > until:
            raise EnclaveError(REFUSED_CODE)


class RequestQuota:
    """How many requests of one kind a key may make: `requests` in `QUOTA_PERIOD_SECONDS`. Safe from several threads."""

    def __init__(self, requests: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = requests
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[bytes, tuple[float, int]] = {}

    def count(self, requester: bytes) -> None:
        """Count one more; EnclaveError `EnclaveNotPayloadOwner` if it is too many."""
        with self._lock:
            now = self._clock()
            since, count = self._seen.get(requester, (now, 0))
            if now - since >= QUOTA_PERIOD_SECONDS:
                since, count = now, 0
            if count >= self._requests:
                raise EnclaveError(REFUSED_CODE)
            if requester not in self._seen and len(self._seen) >= MAX_REQUESTERS:
                self._seen = {key: seen for key, seen in self._seen.items() if now - seen[0] < QUOTA_PERIOD_SECONDS}
                if len(self._seen) >= MAX_REQUESTERS:
                    raise EnclaveError(REFUSED_CODE)
            self._seen[requester] = (since, count + 1)


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """Who is asked what: a key, the URL of its manager, and the fields of the request."""

    key: bytes
    url: str
    fields: Mapping[str, Any]


def ask(sender: PeerSender, path: str, own: KeyPair, asked: Sequence[OutgoingRequest]) -> list[CborFields | None]:
    """What each manager answers to `path`, all asked at once, so that each URL may stand there once; None for none, or for
    one that cannot be used."""
    introductions = {one.url: encode_map({"from": own.public, "to": one.key}) for one in asked}
    challenges = sender.post(CHALLENGE_PATH, introductions)
    bodies: dict[str, bytes] = {}
    for one in asked:
        body = _request(own, one, challenges.get(one.url))
        if body is not None:
            bodies[one.url] = body
    answers = sender.post(path, bodies) if bodies else {}
    return [_answer(own, one, answers.get(one.url)) for one in asked]


def _request(own: KeyPair, one: OutgoingRequest, challenge: bytes | None) -> bytes | None:
    if not challenge:
        return None
    try:
        inner = encode_map(
            {"challenge": decode_map(challenge, "challenge").bytes("challenge", CHALLENGE_SIZE), **one.fields}
        )
        nonce = secrets.token_bytes(NONCE_BYTES)
        box = nacl.bindings.crypto_box(inner, nonce, one.key, own.private)
    except _UNUSABLE as error:
        _useless(one, error)
        return None
    return encode_map({"from": own.public, "to": one.key, "nonce": nonce, "box": box})


def _answer(own: KeyPair, one: OutgoingRequest, answer: bytes | None) -> CborFields | None:
    if not answer:
        return None
    try:
        sealed = decode_map(answer, "answer")
        box, nonce = sealed.bytes("box"), sealed.bytes("nonce", NONCE_BYTES)
        return decode_map(nacl.bindings.crypto_box_open(box, nonce, one.key, own.private), "answer")
    except _UNUSABLE as error:
        _useless(one, error)
        return None


def _useless(one: OutgoingRequest, error: Exception) -> None:
    why = str(error) if isinstance(error, CborError) else "it is not sealed by the key that was asked"
    log.info(f"{one.url} answers with what cannot be used: {why}")
