"""Whose key it is: a manager proves that it has a private key, and that it is the one at a URL.

Party info is anybody's word. The proof is a NaCl box between the key and the asker's, with the asker's challenge and the
URL that the manager announces: an older box, or another manager's handed on, proves nothing. What is in the box is never
as long as a key, so that no payload can be made of it. Orion answers with 404. Must not say which claim is right.
"""

import hmac
import secrets
from collections.abc import Callable, Mapping
from enum import Enum

import nacl.bindings
import nacl.exceptions
import structlog

from lacnode.privacy.keys import KEY_BYTES, KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import CborError, decode_map, encode_map
from lacnode.privacy.manager.orion_party_info import is_same_manager
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.privacy.transaction_manager import EnclaveError

log = structlog.get_logger("privacy")

PROVE_PATH = "/lacnode/prove"
NONCE_BYTES = 24


class ProofResponder:
    """Proves the own keys to whoever asks; `url` gives the URL that peers are told, None as long as there is none."""

    def __init__(self, keys: KeyRing, url: Callable[[], str | None]) -> None:
        self._keys = keys
        self._url = url

    def prove(self, body: bytes) -> bytes:
        """The proof that the request in `body` asks for; EnclaveError `EnclaveNoMatchingPrivateKey` for another's key."""
        try:
            fields = decode_map(body, "proof request")
            asker, of = fields.bytes("from", KEY_BYTES), fields.bytes("of", KEY_BYTES)
            challenge = fields.bytes("challenge", KEY_BYTES)
            fields.end()
        except CborError:
            raise EnclaveError("ObjectJsonDeserialization") from None
        own, url = self._keys.find_pair(of), self._url()
        if own is None or url is None:
            raise EnclaveError("EnclaveNoMatchingPrivateKey")
        said, nonce = encode_map({"proves": challenge, "at": url}), secrets.token_bytes(NONCE_BYTES)
        try:
            box = nacl.bindings.crypto_box(said, nonce, asker, own.private)
        except nacl.exceptions.CryptoError:
            raise EnclaveError("EnclaveDecodePublicKey") from None
        return encode_map({"nonce": nonce, "box": box})


class ProofAnswer(Enum):
    """What a manager does that is asked for a proof: it gives one, gives a false one, refuses as one that does not know the
    path, or does not answer."""

    PROVES = "proves"
    REFUSES = "refuses"
    FAILS = "fails"
    SILENT = "silent"


def request_proofs(own: KeyPair, places: Mapping[bytes, str], sender: PeerSender) -> dict[bytes, ProofAnswer]:
    """How the manager at the URL of each key proves to `own` that it has the private key. Each URL is asked for one key at
    a time, all URLs at once: as long as a call takes for each key of one manager."""
    answers: dict[bytes, ProofAnswer] = {}
    while left := {key: url for key, url in places.items() if key not in answers}:
        questions = {url: (key, secrets.token_bytes(KEY_BYTES)) for key, url in left.items()}
        requests = {
            url: encode_map({"from": own.public, "of": key, "challenge": challenge})
            for url, (key, challenge) in questions.items()
        }
        found = sender.post(PROVE_PATH, requests)
        for url, (key, challenge) in questions.items():
            answers[key] = _judged(found.get(url), own, key, url, challenge)
    return answers


def proves_key(own: KeyPair, key: bytes, url: str, sender: PeerSender) -> bool:
    """Whether the manager at `url` proves to `own` that it has the private key of `key`. As long as a call takes."""
    return request_proofs(own, {key: url}, sender)[key] is ProofAnswer.PROVES


def _judged(answer: bytes | None, own: KeyPair, key: bytes, url: str, challenge: bytes) -> ProofAnswer:
    if not answer:
        return ProofAnswer.SILENT if answer is None else ProofAnswer.REFUSES
    try:
        sealed = decode_map(answer, "proof")
        box, nonce = sealed.bytes("box"), sealed.bytes("nonce", NONCE_BYTES)
        said = decode_map(nacl.bindings.crypto_box_open(box, nonce, key, own.private), "proof")
        proven, at = said.bytes("proves", KEY_BYTES), said.take("at", str)
        is_right = hmac.compare_digest(proven, challenge) and is_same_manager(at, url)
    except (CborError, nacl.exceptions.CryptoError, ValueError) as error:
        log.info(f"{url} proves nothing: {type(error).__name__}")
        return ProofAnswer.FAILS
    return ProofAnswer.PROVES if is_right else ProofAnswer.FAILS
