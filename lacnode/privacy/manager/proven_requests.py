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

from lacnode.privacy.keys import KEY_SIZE, KeyPair, KeyRing
from lacnode.privacy.manager.cbor import CborError, Fields, decode_map, encode_map
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.privacy.transaction_manager import ManagerError

log = structlog.get_logger("privacy")

CHALLENGE = "/lacnode/challenge"
NONCE_SIZE, MAC_SIZE = 24, 32
CHALLENGE_SIZE = 8 + MAC_SIZE
VALID_SECONDS = 60
PER_SECONDS = 60.0
MAX_REQUESTERS = 4096

UNREADABLE, REFUSED = "ObjectJsonDeserialization", "EnclaveNotPayloadOwner"

_UNUSABLE = (nacl.exceptions.CryptoError, ValueError, RuntimeError)
"""What a key, a box or a record raises that is none."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A request whose author has proven to have the key `requester`, made to the own key `own`. `fields` are to be taken
    by whoever knows them."""

    requester: bytes
    own: KeyPair
    fields: Fields

    def seal(self, answer: bytes) -> bytes:
        """`answer` in a box that only the two can open."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        box = nacl.bindings.crypto_box(answer, nonce, self.requester, self.own.private)
        return encode_map({"nonce": nonce, "box": box})


class Challenges:
    """Gives challenges, and opens requests that meet them. Safe from several threads."""

    def __init__(self, keys: KeyRing, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._clock = clock
        self._secret = secrets.token_bytes(32)

    def give(self, body: bytes) -> bytes:
        """A challenge for the key in `body`, to be answered to the key named with it."""
        try:
            fields = decode_map(body, "challenge request")
            requester, to = fields.bytes("from", KEY_SIZE), fields.bytes("to", KEY_SIZE)
            fields.end()
        except CborError:
            raise ManagerError(UNREADABLE) from None
        if self._keys.pair_of(to) is None:
            raise ManagerError("EnclaveNoMatchingPrivateKey")
        return encode_map({"challenge": self._challenge(requester, int(self._clock()) + VALID_SECONDS)})

    def open(self, body: bytes) -> Proven:
        """The request in `body`. ManagerError `EnclaveNotPayloadOwner` unless it proves its key."""
        try:
            fields = decode_map(body, "request")
            requester, to = fields.bytes("from", KEY_SIZE), fields.bytes("to", KEY_SIZE)
            nonce, box = fields.bytes("nonce", NONCE_SIZE), fields.bytes("box")
            fields.end()
        except CborError:
            raise ManagerError(UNREADABLE) from None
        own = self._keys.pair_of(to)
        # A box opens from both sides: between an own key and itself it would prove nothing.
        if own is None or self._keys.pair_of(requester) is not None:
            raise ManagerError(REFUSED)
        try:
            request = decode_map(nacl.bindings.crypto_box_open(box, nonce, requester, own.private), "request")
            challenge = request.bytes("challenge", CHALLENGE_SIZE)
        except _UNUSABLE:
            raise ManagerError(REFUSED) from None
        self._check(requester, challenge)
        return Proven(requester, own, request)

    def _challenge(self, requester: bytes, until: int) -> bytes:
        stamp = until.to_bytes(8)
        return stamp + hmac.digest(self._secret, stamp + requester, hashlib.sha256)

    def _check(self, requester: bytes, challenge: bytes) -> None:
        until = int.from_bytes(challenge[:8])
        if not hmac.compare_digest(challenge, self._challenge(requester, until)) or self._clock() > until:
            raise ManagerError(REFUSED)


class Allowance:
    """How many requests of one kind a key may make: `requests` in `PER_SECONDS`. Safe from several threads."""

    def __init__(self, requests: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = requests
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[bytes, tuple[float, int]] = {}

    def count(self, requester: bytes) -> None:
        """Count one more; ManagerError `EnclaveNotPayloadOwner` if it is too many."""
        with self._lock:
            now = self._clock()
            since, count = self._seen.get(requester, (now, 0))
            if now - since >= PER_SECONDS:
                since, count = now, 0
            if count >= self._requests:
                raise ManagerError(REFUSED)
            if requester not in self._seen and len(self._seen) >= MAX_REQUESTERS:
                self._seen = {key: seen for key, seen in self._seen.items() if now - seen[0] < PER_SECONDS}
                if len(self._seen) >= MAX_REQUESTERS:
                    raise ManagerError(REFUSED)
            self._seen[requester] = (since, count + 1)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked what: a key, the URL of its manager, and the fields of the request."""

    key: bytes
    url: str
    fields: Mapping[str, Any]


def ask(sender: PeerSender, path: str, own: KeyPair, asked: Sequence[Asked]) -> list[Fields | None]:
    """What each manager answers to `path`, all asked at once, so that each URL may stand there once; None for none, or for
    one that cannot be used."""
    introductions = {one.url: encode_map({"from": own.public, "to": one.key}) for one in asked}
    challenges = sender.post(CHALLENGE, introductions)
    bodies: dict[str, bytes] = {}
    for one in asked:
        body = _request(own, one, challenges.get(one.url))
        if body is not None:
            bodies[one.url] = body
    answers = sender.post(path, bodies) if bodies else {}
    return [_answer(own, one, answers.get(one.url)) for one in asked]


def _request(own: KeyPair, one: Asked, challenge: bytes | None) -> bytes | None:
    if not challenge:
        return None
    try:
        inner = encode_map(
            {"challenge": decode_map(challenge, "challenge").bytes("challenge", CHALLENGE_SIZE), **one.fields}
        )
        nonce = secrets.token_bytes(NONCE_SIZE)
        box = nacl.bindings.crypto_box(inner, nonce, one.key, own.private)
    except _UNUSABLE as error:
        _useless(one, error)
        return None
    return encode_map({"from": own.public, "to": one.key, "nonce": nonce, "box": box})


def _answer(own: KeyPair, one: Asked, answer: bytes | None) -> Fields | None:
    if not answer:
        return None
    try:
        sealed = decode_map(answer, "answer")
        box, nonce = sealed.bytes("box"), sealed.bytes("nonce", NONCE_SIZE)
        return decode_map(nacl.bindings.crypto_box_open(box, nonce, one.key, own.private), "answer")
    except _UNUSABLE as error:
        _useless(one, error)
        return None


def _useless(one: Asked, error: Exception) -> None:
    why = str(error) if isinstance(error, CborError) else "it is not sealed by the key that was asked"
    log.info(f"{one.url} answers with what cannot be used: {why}")
