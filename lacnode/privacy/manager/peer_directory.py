"""The managers that are known, for any number of threads, and what others are told of them.

What is known is never replaced by what is heard, as in Orion. How much is kept of what, and what gives way, is decided by
`bounded_table`; only what a manager said itself when it was called is kept across restarts.
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
"""Claims that wait to be looked at; who still makes one that was left out makes it again within a minute."""

MAX_URLS_PER_SOURCE, MAX_KEYS_PER_SOURCE = 512, 1024
"""Of what one address says, or of what the managers at one host say of themselves."""

MAX_NEW_ENTRIES_AT_ONCE = 128
"""URLs, and keys, that are taken of what a manager says unasked. It is called, and then tells the rest."""


class PeerDirectory:
    """`own` are our public keys, `url` what peers are told, `others` the operator's URLs, `known` the keys of an earlier
    run; `keep` is called with the keys to keep whenever they change. URLs that `may_call` refuses are not taken."""

    def __init__(
        self,
        own: Iterable[bytes],
        url: str | None = None,
        others: Iterable[str] = (),
        known: Mapping[bytes, str] | None = None,
        keep: Callable[[Mapping[bytes, str]], None] | None = None,
        may_call: Callable[[str], bool] = lambda url: True,
    ) -> None:
        self._lock = threading.Lock()
        self._own = tuple(own)
        self._url: str | None = None
        self._keep = keep
        self._may_call = may_call
        self._urls = BoundedTable[str, None](MAX_PARTY_INFO_URLS, MAX_URLS_PER_SOURCE)
        self._keys = BoundedTable[bytes, str](MAX_PARTY_INFO_KEYS, MAX_KEYS_PER_SOURCE)
        self._rivals: dict[tuple[bytes, str], None] = {}
        self._met: dict[str, None] = {}
        self._view: PartyInfo | None = None
        self._encoded: tuple[PartyInfo, bytes] | None = None
        for other in others:
            self._urls.put(other, None, "", TrustLevel.OWN)
        for key, place in (known or {}).items():
            if key not in self._own:
                self._take_key(key, place, _host(place), TrustLevel.KEPT)
        if url is not None:
            self.announce(url)

    def announce(self, url: str) -> None:
        """Our own URL is `url`: known once the port is."""
        with self._lock:
            self._url = url
            self._urls.put(url, None, "", TrustLevel.OWN)
            for key in self._own:
                self._keys.put(key, url, "", TrustLevel.OWN)
            for _, place in list(self._keys.items()):
                self._take_url(place, _host(place), TrustLevel.KEPT)
            self._changed()

    @property
    def view(self) -> PartyInfo:
        """As it is now, the best known first."""
        with self._lock:
            if self._view is None:
                self._view = PartyInfo(self._url, tuple(url for url, _ in self._urls.items()), dict(self._keys.items()))
            return self._view

    def encode_own_party_info(self) -> bytes:
        """What other managers are told: as much of the view, the best known first, as they read."""
        view = self.view
        with self._lock:
            if self._encoded is None or self._encoded[0] is not view:
                self._encoded = view, encode_orion_party_info(truncate_party_info(view))
            return self._encoded[1]

    def learn(self, other: PartyInfo, source: str = "", answered: str | None = None) -> PartyInfo:
        """Merge what a peer says; the view as it was before. `source` is the address that says it, `answered` the URL that
        was called for it. Keys of its own that others are known to have are rivals."""
        before = self.view
        if answered is None:
            other = _beginning(other)
        with self._lock:
            kept = self._kept()
            source = source if answered is None else _host(answered)
            self._learn_urls(other, source, answered)
            for key, url in other.keys.items():
                self._learn_key(key, url, other, source, answered)
            self._changed()
            now_kept = self._kept()
        if now_kept != kept:
            self._keep_known(now_kept)
        return before

    def silent(self, url: str) -> None:
        """The manager at `url` did not answer: what was only heard of it gives way first from now on."""
        with self._lock:
            self._urls.lower(url)
            for key in [key for key, place in self._keys.items() if place == url]:
                self._keys.lower(key)

    def has_answered(self, url: str) -> bool:
        """Whether `url` is the operator's, or a manager has answered there, now or before a restart."""
        with self._lock:
            standing = self._urls.standing(url)
            return standing is not None and standing >= TrustLevel.KEPT

    def has_answered_for(self, key: bytes) -> bool:
        """Whether a manager said itself, when it was called, that it has `key`, now or before a restart."""
        with self._lock:
            standing = self._keys.standing(key)
            return standing is not None and standing >= TrustLevel.KEPT

    def pop_new_callers(self) -> list[str]:
        """URLs of managers that have called us since the last time."""
        with self._lock:
            met, self._met = list(self._met), {}
            return met

    def pop_rival_claims(self) -> list[tuple[bytes, str]]:
        """Keys that are known to be elsewhere, and the URL of a manager that says to have them; each once."""
        with self._lock:
            rivals, self._rivals = list(self._rivals), {}
            return rivals

    def move(self, key: bytes, url: str) -> None:
        """The manager of `key`, which is not our own, is at `url` from now on: it has proven that."""
        with self._lock:
            self._keys.put(key, url, _host(url), TrustLevel.ANSWERED)
            self._changed()
            kept = self._kept()
        self._keep_known(kept)

    def url_of(self, key: bytes) -> str | None:
        """Where the manager of `key` is."""
        with self._lock:
            return self._keys.get(key)

    # -- with the lock held ------------------------------------------------------------------------------------------

    def _learn_urls(self, other: PartyInfo, source: str, answered: str | None) -> None:
        for url in (*other.urls, *other.keys.values()):
            self._take_url(url, source, TrustLevel.HEARD)
        if answered is not None:
            self._take_url(answered, source, TrustLevel.ANSWERED)
        elif (
            other.url is not None
            and self._take_url(other.url, source, TrustLevel.HEARD)
            and len(self._met) < MAX_RIVAL_CLAIMS
        ):
            self._met[other.url] = None

    def _learn_key(self, key: bytes, url: str, other: PartyInfo, source: str, answered: str | None) -> None:
        known = self._keys.get(key)
        if known is not None and not is_same_manager(known, url):
            if url == other.url and len(self._rivals) < MAX_RIVAL_CLAIMS:
                self._rivals[key, url] = None
            return
        first_hand = answered is not None and is_same_manager(url, answered)
        self._take_key(key, known or url, source, TrustLevel.ANSWERED if first_hand else TrustLevel.HEARD)

    def _take_url(self, url: str, source: str, standing: TrustLevel) -> bool:
        """Whether `url` is known now, with this standing or a higher one."""
        known = self._urls.standing(url)
        if known is not None and known >= standing:
            return True
        return is_url(url) and self._may_call(url) and self._urls.put(url, None, source, standing)

    def _take_key(self, key: bytes, url: str, source: str, standing: TrustLevel) -> None:
        known = self._keys.standing(key)
        if (known is None or known < standing) and is_url(url) and self._may_call(url):
            self._keys.put(key, url, source, standing)

    def _changed(self) -> None:
        self._view = None

    def _kept(self) -> dict[bytes, str]:
        worth = (TrustLevel.KEPT, TrustLevel.ANSWERED)
        return {key: url for key, url in self._keys.items() if self._keys.standing(key) in worth}

    def _keep_known(self, kept: Mapping[bytes, str]) -> None:
        if self._keep is not None:
            self._keep(kept)


def _beginning(view: PartyInfo) -> PartyInfo:
    """As much of `view` as is taken unasked, the manager's own keys first."""
    own = {key: url for key, url in view.keys.items() if url == view.url}
    keys = islice({**own, **view.keys}.items(), MAX_NEW_ENTRIES_AT_ONCE)
    return PartyInfo(view.url, view.urls[:MAX_NEW_ENTRIES_AT_ONCE], dict(keys))


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
