"""Proofs of keys: a manager proves that it has a private key and that the key is at a URL.

Any manager can claim any key in its party info. The proof is a NaCl box between the key and the requester's key. It has the
requester's challenge and the URL that the manager announces. So an older box proves nothing, and neither does the box of
another manager that is passed on. The content of the box never has the length of a key, so that no box of a payload can be
made of it. Orion answers with 404. This module must not decide which of two claims is right.
"""

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from enum import Enum

import nacl.exceptions

from lacnode.privacy.keys import KEY_BYTES, KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import CborError, decode_map, encode_map
from lacnode.privacy.manager.orion_party_info import ManagerAddress, is_same_manager, is_url, manager_address
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.privacy.transaction_manager import EnclaveError
from lacnode.rate_limited_log import RateLimitedLog

# For all managers of this process. A stranger can give false proofs under any number of URLs.
_log = RateLimitedLog("privacy", time.monotonic)

PROVE_PATH = "/lacnode/prove"
NONCE_BYTES = 24


class ProofResponder:
    """Proves the own keys to every manager that asks. `url` returns the URL that other managers are told, None until it
    is known."""

    def __init__(self, keys: KeyRing, url: Callable[[], str | None]) -> None:
        self._keys = keys
        self._url = url

    def prove(self, body: bytes) -> bytes:
        """Return the proof (CBOR) that the request in `body` (CBOR) asks for: a box for the requester with its
        challenge and the own URL.

        EnclaveError `EnclaveNoMatchingPrivateKey` if the key is not an own key, or while the own URL is not known.
        EnclaveError `ObjectJsonDeserialization` or `EnclaveDecodePublicKey` if the request is malformed.
        """
        try:
            fields = decode_map(body, "proof request")
            asker, of = fields.bytes("from", KEY_BYTES), fields.bytes("of", KEY_BYTES)
            challenge = fields.bytes("challenge", KEY_BYTES)
            fields.check_no_fields_left()
        except CborError:
            raise EnclaveError("ObjectJsonDeserialization") from None
        # Without an own URL there is nothing to bind the proof to. The requester asks again later.
        own, url = self._keys.find_pair(of), self._url()
        if own is None or url is None:
            raise EnclaveError("EnclaveNoMatchingPrivateKey")
        # The URL inside the box binds the proof to this manager. A manager in between could otherwise pass the question
        # on, show the answer as its own, and receive the payloads.
        said, nonce = encode_map({"proves": challenge, "at": url}), secrets.token_bytes(NONCE_BYTES)
        try:
            box = own.seal_box(said, nonce, asker)
        except nacl.exceptions.CryptoError:
            raise EnclaveError("EnclaveDecodePublicKey") from None
        return encode_map({"nonce": nonce, "box": box})


class ProofAnswer(Enum):
    """The reaction of a manager to a request for a proof.

    PROVES: the proof is right. FAILS: the proof is false or malformed. REFUSES: the manager answers with an error, as
    one that does not know the path. SILENT: no answer.
    """

    PROVES = "proves"
    REFUSES = "refuses"
    FAILS = "fails"
    SILENT = "silent"


def request_proofs(
    own: KeyPair,
    urls_by_key: Mapping[bytes, str],
    sender: PeerSender,
    may_ask_more: Callable[[], bool] = lambda: True,
) -> dict[bytes, ProofAnswer]:
    """Ask the manager at the URL of each key (32 bytes) in `urls_by_key` to prove to `own` that it has the private key.
    Return its reaction for every key. A manager that does not answer raises no error.

    The managers are asked at the same time, as far as the limit of open calls of `sender` allows, and each manager for
    one key at a time. If one manager has several keys, this blocks for one call after the other for them. A manager
    that did not answer once is not asked for its other keys. After the first keys, `may_ask_more` is called before each
    further round of questions. The keys that are not asked for count as SILENT.
    """
    answers: dict[bytes, ProofAnswer] = {}
    places = {key: manager_address(url) for key, url in urls_by_key.items()}
    silent: set[ManagerAddress] = set()
    while left := {key: place for key, place in places.items() if key not in answers and place not in silent}:
        if answers and not may_ask_more():
            break
        # One key for each manager. A manager with many keys must not get many requests at once, also if it names each
        # key with another path behind its host.
        turns = {place: key for key, place in left.items()}
        # A new challenge for each key. One answer can then not serve for two questions.
        questions = {urls_by_key[key]: (key, secrets.token_bytes(KEY_BYTES)) for key in turns.values()}
        requests = {
            url: encode_map({"from": own.public, "of": key, "challenge": challenge})
            for url, (key, challenge) in questions.items()
        }
        found = sender.post(PROVE_PATH, requests)
        for url, (key, challenge) in questions.items():
            answers[key] = _judge_proof(found.get(url), own, key, url, challenge)
            # Each further question to a silent manager would cost its whole time limit again.
            if answers[key] is ProofAnswer.SILENT:
                silent.add(places[key])
    return {key: answers.get(key, ProofAnswer.SILENT) for key in urls_by_key}


def proves_key(own: KeyPair, key: bytes, url: str, sender: PeerSender) -> bool:
    """Return True if the manager at `url` proves to `own` that it has the private key of `key` (32 bytes). False also
    if it refuses or does not answer. Blocks for one call."""
    return request_proofs(own, {key: url}, sender)[key] is ProofAnswer.PROVES


def _judge_proof(answer: bytes | None, own: KeyPair, key: bytes, url: str, challenge: bytes) -> ProofAnswer:
    if not answer:
        return ProofAnswer.SILENT if answer is None else ProofAnswer.REFUSES
    try:
        sealed = decode_map(answer, "proof")
        box, nonce = sealed.bytes("box"), sealed.bytes("nonce", NONCE_BYTES)
        said = decode_map(own.open_box(box, nonce, key), "proof")
        proven, at = said.bytes("proves", KEY_BYTES), said.read_field("at", str)
        # The first comparison takes constant time: its duration must not show how much of a guessed challenge was right.
        # A text that is no URL is not compared: the library keeps the last texts that it took apart, of any length.
        is_right = hmac.compare_digest(proven, challenge) and is_url(at) and is_same_manager(at, url)
    except (CborError, nacl.exceptions.CryptoError, ValueError) as error:
        _log.info("proof", f"{url} proves nothing: {type(error).__name__}")
        return ProofAnswer.FAILS
    return ProofAnswer.PROVES if is_right else ProofAnswer.FAILS
