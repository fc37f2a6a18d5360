"""The Tesseras that this manager exchanges with: where their keys are, and how payloads and groups reach them.

Their URLs are told by the operator and by nobody else; a key is believed once it is proven at the URL of its Tessera. A
Tessera tells nobody of us but itself and forgets us when it stops, so each is told again and again. Must not keep anything.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import orjson
import structlog

from lacnode.privacy.keys import KeyRing, to_base64
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.manager.orion_party_info import PartyInfo, is_same_manager
from lacnode.privacy.manager.peer_paths import PARTY_INFO_PATH, PUSH_GROUP_PATH, PUSH_PATH
from lacnode.privacy.manager.peer_sender import PeerCall, PeerCaller
from lacnode.privacy.manager.tessera.tessera_encoding import TesseraError
from lacnode.privacy.manager.tessera.tessera_group import encode_group
from lacnode.privacy.manager.tessera.tessera_key_challenge import TesseraKeyChallenge
from lacnode.privacy.manager.tessera.tessera_party_info import encode_party_info, read_party_info
from lacnode.privacy.manager.tessera.tessera_payload import NO_GROUP, TesseraPayload, decode_payload, encode_payload

log = structlog.get_logger("privacy")

VALIDATE_PATH = "/partyinfo/validate"
RESEND_PATH = "/resend"
JSON_HEADER = ("content-type", "application/json")
OCTETS_HEADER = ("content-type", "application/octet-stream")
VERSIONS_HEADER = ("tesseraSupportedApiVersions", "v1,3.0")
"""Payloads, and groups; not v2, enhanced privacy. Without 3.0 a Tessera sends nothing that names a group."""

MAX_KEYS_EACH = 256
"""Keys that one Tessera is believed to have."""


class TesseraNodes:
    """Those at `urls`, as their configuration's `serverAddress` has them; `own` gives the URL that they are told. Safe from
    several threads."""

    def __init__(self, keys: KeyRing, urls: Sequence[str], caller: PeerCaller, own: Callable[[], str | None]) -> None:
        self._keys = keys
        self._urls = tuple(urls)
        self._caller = caller
        self._own = own
        self._lock = threading.Lock()
        self._places: dict[bytes, str] = {}
        self._silent: set[str] = set()

    @property
    def places(self) -> Mapping[bytes, str]:
        """Where each proven key is."""
        with self._lock:
            return dict(self._places)

    def has_tessera_at(self, url: str) -> bool:
        """Whether a Tessera is at `url`."""
        return any(is_same_manager(url, known) for known in self._urls)

    def url_of(self, key: bytes) -> str | None:
        """Where the Tessera is that has proven `key`."""
        with self._lock:
            return self._places.get(key)

    # -- who is where ------------------------------------------------------------------------------------------------

    def party_info(self) -> PartyInfo:
        """What Tesseras are told: our own keys, and nobody else's."""
        url = self._own() or ""
        return PartyInfo(url, (url,), dict.fromkeys(self._keys.public_keys, url))

    def meet(self) -> None:
        """Tell each where we are, and learn which keys it has. As long as its answers take."""
        told = encode_party_info(self.party_info())
        self._call([_post(url, PARTY_INFO_PATH, told) for url in self._urls])
        answers = self._call([PeerCall("GET", url, PARTY_INFO_PATH) for url in self._urls])
        for url, answer in zip(self._urls, answers, strict=True):
            self._learn(url, answer)

    def _learn(self, url: str, answer: bytes | None) -> None:
        try:
            claimed = None if answer is None else read_party_info(answer)
        except TesseraError as error:
            self._tell_once(url, f"the Tessera at {url} answers what cannot be used: {error}")
            return
        if claimed is None:
            self._tell_once(url, f"the Tessera at {url} does not answer")
            return
        own = [key for key, place in claimed.keys.items() if is_same_manager(place, url)][:MAX_KEYS_EACH]
        if not own:
            self._tell_once(url, f"the Tessera at {url} names no key there: its serverAddress may be another")
            return
        self._silent.discard(url)
        with self._lock:
            self._places = {key: place for key, place in self._places.items() if place != url or key in own}
        self._prove(url, [key for key in own if self.url_of(key) is None and self._keys.find_pair(key) is None])

    def _prove(self, url: str, keys: Sequence[bytes]) -> None:
        own, questions = self._keys.sender(None), []
        for key in keys:
            try:
                questions.append((key, TesseraKeyChallenge(own, key)))
            except (ValueError, RuntimeError):
                log.info(f"the Tessera at {url} says to have the key {to_base64(key)}, which is none")
        answers = self._call([_post(url, VALIDATE_PATH, question.body) for _, question in questions])
        for (key, question), answer in zip(questions, answers, strict=True):
            if question.is_answered_by(answer):
                with self._lock:
                    self._places[key] = url
                log.info(f"the Tessera at {url} has the key {to_base64(key)}")
            else:
                log.info(f"the Tessera at {url} does not prove the key {to_base64(key)}")

    def _tell_once(self, url: str, what: str) -> None:
        if url not in self._silent:
            self._silent.add(url)
            log.warning(what)

    # -- what they are sent ------------------------------------------------------------------------------------------

    def push(self, payload: EncryptedPayload, recipients: Mapping[str, Mapping[bytes, int]]) -> set[str]:
        """Give each Tessera its boxes: for its URL, its keys and the position of their box. Those that confirm them all."""
        wanted = [(url, key, position) for url, keys in recipients.items() for key, position in keys.items()]
        bodies = [encode_payload(payload.only([position]), [key]) for _, key, position in wanted]
        answers = self._call([_post(url, PUSH_PATH, body) for (url, _, _), body in zip(wanted, bodies, strict=True)])
        expected = to_base64(payload.key).encode()
        refused = {url for (url, _, _), answer in zip(wanted, answers, strict=True) if answer != expected}
        return set(recipients) - refused

    def push_group(self, record: GroupRecord, urls: Sequence[str]) -> set[str]:
        """Tell the Tesseras at `urls` of a group, or that it is deleted; those that confirm it."""
        body = encode_group(record)
        answers = self._call([_post(url, PUSH_GROUP_PATH, body) for url in urls])
        return {url for url, answer in zip(urls, answers, strict=True) if answer is not None}

    def fetch_payloads(
        self, wanted: Sequence[bytes], parties: Sequence[bytes]
    ) -> Iterator[tuple[bytes, TesseraPayload]]:
        """What the Tesseras have of `wanted` that one of `parties` sent or may read, and which party that is."""
        asked = [(url, party, key) for url in self._urls for party in parties for key in wanted]
        answers = self._call([_resend(*question) for question in asked])
        for (url, party, key), answer in zip(asked, answers, strict=True):
            if answer is None:
                continue
            try:
                found = decode_payload(answer)
            except TesseraError as error:
                log.info(f"the Tessera at {url} gives a payload back that cannot be used: {error}")
                continue
            if found.payload.key == key and found.payload.group_id != NO_GROUP:
                yield party, found

    def _call(self, calls: Sequence[PeerCall]) -> Sequence[bytes | None]:
        return self._caller.call(calls) if calls else ()


def _resend(url: str, party: bytes, key: bytes) -> PeerCall:
    question = {"type": "INDIVIDUAL", "publicKey": to_base64(party), "key": to_base64(key)}
    return PeerCall(
        "POST", url, RESEND_PATH, orjson.dumps(question), (JSON_HEADER, VERSIONS_HEADER), gives_payloads=True
    )


def _post(url: str, path: str, body: bytes) -> PeerCall:
    return PeerCall("POST", url, path, body, (OCTETS_HEADER, VERSIONS_HEADER))
