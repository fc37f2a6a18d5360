"""The Tesseras that this manager exchanges payloads with: the URLs of their keys, and the delivery to them.

Their URLs come from the operator alone. A key is believed after it was proven at the URL of its Tessera. A Tessera tells
other nodes nothing about this manager, and it forgets this manager when it stops. So each Tessera is called again and again.
This module must not store anything on disk.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import orjson

from lacnode.privacy.keys import KeyRing, to_base64
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.manager.orion_party_info import PartyInfo, is_same_manager
from lacnode.privacy.manager.peer_paths import PARTY_INFO_PATH, PUSH_GROUP_PATH, PUSH_PATH
from lacnode.privacy.manager.peer_sender import PeerCall, PeerCaller
from lacnode.privacy.manager.tessera.tessera_encoding import TesseraError
from lacnode.privacy.manager.tessera.tessera_group import encode_tessera_group
from lacnode.privacy.manager.tessera.tessera_key_challenge import TesseraKeyChallenge
from lacnode.privacy.manager.tessera.tessera_party_info import decode_tessera_party_info_json, encode_tessera_party_info
from lacnode.privacy.manager.tessera.tessera_payload import (
    NO_GROUP,
    TesseraPayload,
    decode_tessera_payload,
    encode_tessera_payload,
)
from lacnode.rate_limited_log import RateLimitedLog

VALIDATE_PATH = "/partyinfo/validate"
RESEND_PATH = "/resend"
JSON_HEADER = ("content-type", "application/json")
OCTETS_HEADER = ("content-type", "application/octet-stream")
VERSIONS_HEADER = ("tesseraSupportedApiVersions", "v1,3.0")
"""Versions for payloads and groups. v2 would be enhanced privacy. Without 3.0 a Tessera sends nothing that names a group."""

MAX_KEYS_EACH = 256
"""The largest number of keys of one Tessera."""

MAX_PAYLOADS_ASKED_AT_ONCE = 4
"""The largest number of payloads that are asked for at the same time. Each answer may have 16 MiB."""

ASKING_SECONDS = 20.0
"""The time after which one Tessera is asked for no more payloads in one call."""


class TesseraNodes:
    """The Tesseras that the operator has named: their keys, and the delivery to them. `tessera_urls` are the
    `serverAddress` values of their configurations.

    `own_url` returns the URL that they are told, None until it is known. `clock` returns monotonic seconds. Safe to use
    from several threads. Calls to them block, so the event loop must not make them.
    """

    def __init__(
        self,
        keys: KeyRing,
        tessera_urls: Sequence[str],
        caller: PeerCaller,
        own_url: Callable[[], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._urls = tuple(tessera_urls)
        self._caller = caller
        self._own_url = own_url
        self._clock = clock
        # A Tessera lists up to `MAX_KEYS_EACH` keys each time that it is asked, and need not prove any of them.
        self._log = RateLimitedLog("privacy", clock)
        self._lock = threading.Lock()
        self._key_urls: dict[bytes, str] = {}
        self._silent: set[str] = set()

    @property
    def key_urls(self) -> Mapping[bytes, str]:
        """The proven keys (32 bytes) and the URLs of their Tesseras. Empty before the first exchange of party info."""
        with self._lock:
            return dict(self._key_urls)

    def has_tessera_at(self, url: str) -> bool:
        """Return True if `url` has the scheme, the host and the port of a Tessera that the operator has named. The path
        does not count. A default port that is left out is another port. No Tessera is called. ValueError if a port is
        not a number."""
        return any(is_same_manager(url, known) for known in self._urls)

    def url_of(self, key: bytes) -> str | None:
        """Return the URL of the Tessera that has proven `key` (32 bytes), None if there is none."""
        with self._lock:
            return self._key_urls.get(key)

    # -- keys and URLs -------------------------------------------------------------------------------------------------

    def own_party_info(self) -> PartyInfo:
        """Return the party info that Tesseras are told: the own URL (empty text until it is known) and the own keys
        alone."""
        url = self._own_url() or ""
        return PartyInfo(url, (url,), dict.fromkeys(self._keys.public_keys, url))

    def exchange_party_info(self) -> None:
        """Send the own party info to each Tessera, read which keys it has, and ask for proofs of the new ones. Blocks
        for the time of their answers. A Tessera that does not answer is logged once and keeps its keys. EnclaveError
        `NoSenderKey` if this manager has no key."""
        told = encode_tessera_party_info(self.own_party_info())
        # The own party info comes first. The Tessera then knows this manager before it is asked for its own keys.
        self._call([_post_call(url, PARTY_INFO_PATH, told) for url in self._urls])
        answers = self._call([PeerCall("GET", url, PARTY_INFO_PATH) for url in self._urls])
        for url, answer in zip(self._urls, answers, strict=True):
            self._add_keys_of(url, answer)

    def _add_keys_of(self, url: str, answer: bytes | None) -> None:
        try:
            claimed = None if answer is None else decode_tessera_party_info_json(answer)
        except TesseraError as error:
            self._log_once(url, f"the Tessera at {url} answers what cannot be used: {error}")
            return
        if claimed is None:
            self._log_once(url, f"the Tessera at {url} does not answer")
            return
        # Only keys at the Tessera's own URL count. A Tessera lists the keys of other nodes too, and it proves none of them.
        own = [key for key, place in claimed.keys.items() if is_same_manager(place, url)][:MAX_KEYS_EACH]
        if not own:
            self._log_once(url, f"the Tessera at {url} names no key there: its serverAddress may be another")
            return
        self._silent.discard(url)
        with self._lock:
            # A key that the Tessera no longer lists is removed. A proof of an earlier time does not keep it.
            self._key_urls = {key: place for key, place in self._key_urls.items() if place != url or key in own}
        # Each key is proven once. It is asked again only after it was removed.
        self._verify_keys(url, [key for key in own if self.url_of(key) is None and self._keys.find_pair(key) is None])

    def _verify_keys(self, url: str, keys: Sequence[bytes]) -> None:
        own, questions = self._keys.sender_pair(None), []
        for key in keys:
            try:
                questions.append((key, TesseraKeyChallenge(own, key)))
            except (ValueError, RuntimeError):
                text = f"the Tessera at {url} says to have the key {to_base64(key)}, which is none"
                self._log.info(("no key", url), text)
        answers = self._call([_post_call(url, VALIDATE_PATH, question.body) for _, question in questions])
        # The URL is the operator's, and the key was asked for there. A manager in between would have to be at that URL.
        for (key, question), answer in zip(questions, answers, strict=True):
            if question.is_answered_by(answer):
                with self._lock:
                    self._key_urls[key] = url
                self._log.info(("proven", url), f"the Tessera at {url} has the key {to_base64(key)}")
            else:
                self._log.info(("unproven", url), f"the Tessera at {url} does not prove the key {to_base64(key)}")

    def _log_once(self, url: str, what: str) -> None:
        # This runs again and again. A Tessera that is down must not fill the log.
        if url not in self._silent:
            self._silent.add(url)
            # A Tessera that answers every second time is no longer silent in between.
            self._log.warning(("silent", url), what)

    # -- what they are sent ------------------------------------------------------------------------------------------

    def push_payload(self, payload: EncryptedPayload, recipients: Mapping[str, Mapping[bytes, int]]) -> set[str]:
        """Send to each Tessera the boxes of its keys, one request for each key. Return the URLs that confirmed all of
        their boxes. The others raise no error.

        `recipients` has for each URL the keys there (32 bytes) and the positions of their boxes.
        """
        # One push for each key: Tessera's payload names one recipient here, so that no recipient learns of the others.
        wanted = [(url, key, position) for url, keys in recipients.items() for key, position in keys.items()]
        bodies = [encode_tessera_payload(payload.with_boxes_at([position]), [key]) for _, key, position in wanted]
        answers = self._call(
            [_post_call(url, PUSH_PATH, body) for (url, _, _), body in zip(wanted, bodies, strict=True)]
        )
        expected = to_base64(payload.key).encode()
        refused = {url for (url, _, _), answer in zip(wanted, answers, strict=True) if answer != expected}
        return set(recipients) - refused

    def push_group(self, record: GroupRecord, urls: Sequence[str]) -> set[str]:
        """Announce a group, or its deletion, to the Tesseras at `urls`. Return the URLs that confirmed it. The others
        raise no error."""
        body = encode_tessera_group(record)
        answers = self._call([_post_call(url, PUSH_GROUP_PATH, body) for url in urls])
        return {url for url, answer in zip(urls, answers, strict=True) if answer is not None}

    def fetch_payloads(
        self, wanted: Sequence[bytes], parties: Sequence[bytes]
    ) -> Iterator[tuple[bytes, TesseraPayload]]:
        """Ask one Tessera after the other for the payloads `wanted` (keys of 32 bytes), once for each of `parties` (own
        public keys), while the items are read. At most `MAX_PAYLOADS_ASKED_AT_ONCE` are asked for at the same time. A
        Tessera is asked for no more after `ASKING_SECONDS`. Yield each payload that a Tessera gives, with the party for
        which it was given. Payloads without a group, or with another key, are left out. One payload may come several
        times. Whether an own key opens it is not checked.
        """
        asked = [(party, key) for key in wanted for party in parties]
        for url in self._urls:
            until = self._clock() + ASKING_SECONDS
            for start in range(0, len(asked), MAX_PAYLOADS_ASKED_AT_ONCE):
                # A Tessera that answers slowly must not keep other payloads from being asked for elsewhere.
                if self._clock() > until:
                    break
                yield from self._fetch_together(url, asked[start : start + MAX_PAYLOADS_ASKED_AT_ONCE])

    def _fetch_together(self, url: str, asked: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, TesseraPayload]]:
        # The answers are freed at the end of this call, before the next ones come.
        answers = self._call([_resend_call(url, party, key) for party, key in asked])
        for (party, key), answer in zip(asked, answers, strict=True):
            if answer is None:
                continue
            try:
                found = decode_tessera_payload(answer)
            except TesseraError as error:
                text = f"the Tessera at {url} gives a payload back that cannot be used: {error}"
                self._log.info(("unusable", url), text)
                continue
            # The key is the hash of the cipher text. A Tessera cannot give back another payload under this key. A payload
            # without a group belongs to Tessera's own protocol, and no node here can execute it.
            if found.payload.key == key and found.payload.group_id != NO_GROUP:
                yield party, found

    def _call(self, calls: Sequence[PeerCall]) -> Sequence[bytes | None]:
        return self._caller.call(calls) if calls else ()


def _resend_call(url: str, party: bytes, key: bytes) -> PeerCall:
    question = {"type": "INDIVIDUAL", "publicKey": to_base64(party), "key": to_base64(key)}
    return PeerCall(
        "POST", url, RESEND_PATH, orjson.dumps(question), (JSON_HEADER, VERSIONS_HEADER), gives_payloads=True
    )


def _post_call(url: str, path: str, body: bytes) -> PeerCall:
    return PeerCall("POST", url, path, body, (OCTETS_HEADER, VERSIONS_HEADER))
