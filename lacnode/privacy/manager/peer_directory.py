"""The directory of known managers, and the party info that other managers receive of it. Safe to use from several
threads.

As in Orion, a known entry is never replaced by the claim of another manager. `bounded_table` decides how many entries
there are and which ones are dropped. Only the keys that a manager gave about itself when it was called, or that it has
proven, are for the disk (`confirmed_keys`). This module must not write them.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from urllib.parse import urlsplit

from lacnode.privacy.manager.bounded_table import BoundedTable, TrustLevel
from lacnode.privacy.manager.orion_party_info import (
    MAX_PARTY_INFO_KEYS,
    MAX_PARTY_INFO_URLS,
    PartyInfo,
    encode_orion_party_info,
    is_same_manager,
    is_url,
    truncate_party_info,
)

MAX_RIVAL_CLAIMS = 64
"""The largest number of claims that wait for verification. A manager repeats its claim within a minute."""

MAX_URLS_PER_SOURCE, MAX_KEYS_PER_SOURCE = 512, 1024
"""The bounds for one source: an address that sends party info, or a host whose managers speak of themselves."""

MAX_NEW_ENTRIES_AT_ONCE = 128
"""The largest number of URLs and of keys from a manager that was not asked. It is called later and then gives the rest."""


class PeerDirectory:
    """The managers that this manager knows: their URLs and keys. Safe to use from several threads.

    `own` are the own public keys (32 bytes). `url` is the URL that other managers are told, None until it is known.
    `others` are the operator's URLs. `known` are keys of an earlier run with their URLs. A URL in `known` or in party
    info that `may_call` refuses is not added. The operator's URLs are not checked with it.
    """

    def __init__(
        self,
        own: Iterable[bytes],
        url: str | None = None,
        others: Iterable[str] = (),
        known: Mapping[bytes, str] | None = None,
        may_call: Callable[[str], bool] = lambda url: True,
    ) -> None:
        self._lock = threading.Lock()
        self._own = tuple(own)
        self._url: str | None = None
        self._may_call = may_call
        self._urls = BoundedTable[str, None](MAX_PARTY_INFO_URLS, MAX_URLS_PER_SOURCE)
        self._keys = BoundedTable[bytes, str](MAX_PARTY_INFO_KEYS, MAX_KEYS_PER_SOURCE)
        self._rival_claims: dict[tuple[bytes, str], None] = {}
        # Both are bounded dictionaries used as ordered sets: what arrived first is handled first.
        self._new_callers: dict[str, None] = {}
        self._view: PartyInfo | None = None
        # The order matters: the operator's URLs and the stored keys enter first, and later entries never replace them.
        self._encoded: tuple[PartyInfo, bytes] | None = None
        for other in others:
            self._urls.put(other, None, "", TrustLevel.OWN)
        for key, place in (known or {}).items():
            if key not in self._own:
                self._add_key(key, place, _host(place), TrustLevel.KEPT)
        if url is not None:
            self.set_own_url(url)

    def set_own_url(self, url: str) -> None:
        """Set the URL of this manager and of its own keys. Call it when the port is open: the URL is known then."""
        with self._lock:
            self._url = url
            self._urls.put(url, None, "", TrustLevel.OWN)
            for key in self._own:
                self._keys.put(key, url, "", TrustLevel.OWN)
            # The managers of known keys are to be called again after a restart, so their URLs enter the table too.
            for _, place in list(self._keys.items()):
                self._add_url(place, _host(place), TrustLevel.KEPT)
            self._clear_cached_view()

    @property
    def party_info(self) -> PartyInfo:
        """The managers that are known now, with the own URL and keys. The best known entries come first."""
        with self._lock:
            if self._view is None:
                self._view = PartyInfo(self._url, tuple(url for url, _ in self._urls.items()), dict(self._keys.items()))
            return self._view

    @property
    def confirmed_keys(self) -> dict[bytes, str]:
        """The keys (32 bytes) that their managers have confirmed, also in an earlier run, and their URLs. They are to be
        stored for the next start. Own keys are not among them."""
        # Only first-hand knowledge survives a restart. Hearsay on the disk could not be told from confirmed entries
        # later.
        worth = (TrustLevel.KEPT, TrustLevel.ANSWERED)
        with self._lock:
            return {key: url for key, url in self._keys.items() if self._keys.trust_level(key) in worth}

    def encode_own_party_info(self) -> bytes:
        """Return the party info for other managers in Orion's CBOR: as many of the best known entries as they read."""
        view = self.party_info
        with self._lock:
            # The encoding is kept until the directory changes. Any manager may ask for it, and it takes milliseconds.
            if self._encoded is None or self._encoded[0] is not view:
                self._encoded = view, encode_orion_party_info(truncate_party_info(view))
            return self._encoded[1]

    def add_party_info(self, other: PartyInfo, source: str = "", answered: str | None = None) -> PartyInfo:
        """Add the party info of another manager. Return the own party info as it was before the call. Entries for which
        the table is full, and URLs that may not be called, are left out without an error.

        `answered` is the URL that this manager called for it, None if it came unasked. What came unasked counts only in
        part: the first `MAX_NEW_ENTRIES_AT_ONCE` URLs and as many keys. Its sender becomes a new caller
        (`pop_new_callers`). `source` is the sender's IP address, by which the tables bound its entries. It is not used
        with `answered`, whose host counts then.

        No known key moves to another URL. If the other manager says that such a key is at its own URL, that becomes a
        rival claim (`pop_rival_claims`). If it says so of a third manager, that is ignored.
        """
        before = self.party_info
        # What comes unasked may come from any machine. Only a part of it is taken, and its sender is called later.
        if answered is None:
            other = _first_entries(other)
        with self._lock:
            source = source if answered is None else _host(answered)
            self._add_urls(other, source, answered)
            for key, url in other.keys.items():
                self._add_key_of(key, url, other, source, answered)
            self._clear_cached_view()
        return before

    def mark_silent(self, url: str) -> None:
        """Record that the manager at `url` did not answer a call. If no call has confirmed the URL, or a key that is
        known there, such an entry is one of the first that a full table drops. No effect for an unknown URL."""
        with self._lock:
            self._urls.mark_silent(url)
            for key in [key for key, place in self._keys.items() if place == url]:
                self._keys.mark_silent(key)

    def has_answered(self, url: str) -> bool:
        """Return True if `url` is the operator's or the own one, or if a manager has answered there (also before a
        restart). The manager may be silent now. No manager is called."""
        with self._lock:
            trust_level = self._urls.trust_level(url)
            return trust_level is not None and trust_level >= TrustLevel.KEPT

    def is_key_of_called_manager(self, key: bytes) -> bool:
        """Return True if a manager named `key` (32 bytes) as its own when this manager called it (also before a
        restart), if it was set with `set_key_url`, or if it is an own key. True does not mean that the key was proven.
        No manager is called."""
        with self._lock:
            trust_level = self._keys.trust_level(key)
            return trust_level is not None and trust_level >= TrustLevel.KEPT

    def pop_new_callers(self) -> list[str]:
        """Return the URLs of the managers that have sent party info unasked since the last time, and forget them. Each
        comes once, the first caller first. At most `MAX_RIVAL_CLAIMS` wait, further ones are left out."""
        with self._lock:
            met, self._new_callers = list(self._new_callers), {}
            return met

    def pop_rival_claims(self) -> list[tuple[bytes, str]]:
        """Return the rival claims since the last time and forget them: a key (32 bytes) that is known elsewhere, and
        the URL of the manager that claims it. At most `MAX_RIVAL_CLAIMS` wait, further ones are left out."""
        with self._lock:
            rivals, self._rival_claims = list(self._rival_claims), {}
            return rivals

    def set_key_url(self, key: bytes, url: str) -> None:
        """Record that the manager of `key` (32 bytes, not an own key) is at `url` now, in place of the known URL. The
        caller has verified a proof."""
        with self._lock:
            self._keys.put(key, url, _host(url), TrustLevel.ANSWERED)
            self._clear_cached_view()

    def url_of(self, key: bytes) -> str | None:
        """Return the URL of the manager of `key` (32 bytes), None if it is unknown. For an own key it is the own URL,
        once that is set."""
        with self._lock:
            return self._keys.get(key)

    # -- the methods below need the lock -------------------------------------------------------------------------------

    def _add_urls(self, other: PartyInfo, source: str, answered: str | None) -> None:
        # Every URL that another manager names may be called later, unless the address policy refuses it.
        for url in (*other.urls, *other.keys.values()):
            self._add_url(url, source, TrustLevel.HEARD)
        if answered is not None:
            self._add_url(answered, source, TrustLevel.ANSWERED)
        elif (
            other.url is not None
            and self._add_url(other.url, source, TrustLevel.HEARD)
            and len(self._new_callers) < MAX_RIVAL_CLAIMS
        ):
            self._new_callers[other.url] = None

    def _add_key_of(self, key: bytes, url: str, other: PartyInfo, source: str, answered: str | None) -> None:
        known = self._keys.get(key)
        # Only a manager's claim about itself is a rival claim. Third parties repeat old party info for a long time,
        # and to verify each of these would mean a call for every repetition.
        if known is not None and not is_same_manager(known, url):
            if url == other.url and len(self._rival_claims) < MAX_RIVAL_CLAIMS:
                self._rival_claims[key, url] = None
            return
        # First-hand means: this manager called the URL, and the URL in the answer is the same manager. A manager that
        # names another URL speaks of another manager, and only a call of that one can confirm it.
        first_hand = answered is not None and is_same_manager(url, answered)
        self._add_key(key, known or url, source, TrustLevel.ANSWERED if first_hand else TrustLevel.HEARD)

    def _add_url(self, url: str, source: str, trust_level: TrustLevel) -> bool:
        """Add `url` if it is new or its trust level rises. Return True if it is known now with at least this level."""
        # A repeated entry must not lower its trust level, nor move it to another source.
        known = self._urls.trust_level(url)
        if known is not None and known >= trust_level:
            return True
        return is_url(url) and self._may_call(url) and self._urls.put(url, None, source, trust_level)

    def _add_key(self, key: bytes, url: str, source: str, trust_level: TrustLevel) -> None:
        known = self._keys.trust_level(key)
        if (known is None or known < trust_level) and is_url(url) and self._may_call(url):
            self._keys.put(key, url, source, trust_level)

    def _clear_cached_view(self) -> None:
        self._view = None


def _first_entries(view: PartyInfo) -> PartyInfo:
    """Return the part of `view` that is taken unasked. The sender's own keys come first."""
    # The sender's own keys are the reason for its call. They must not be cut off by the keys that it repeats.
    own = {key: url for key, url in view.keys.items() if url == view.url}
    keys = islice({**own, **view.keys}.items(), MAX_NEW_ENTRIES_AT_ONCE)
    return PartyInfo(view.url, view.urls[:MAX_NEW_ENTRIES_AT_ONCE], dict(keys))


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
