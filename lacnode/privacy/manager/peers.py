"""The managers that are known, for any number of threads: one network view, kept in the store."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from lacnode.privacy.manager.network_view import NetworkView, is_url, same_place

MAX_RIVALS = 64
"""Claims that wait to be looked at; who still makes one that was left out makes it again within a minute."""


class Peers:
    """`own` are our public keys, `url` what peers are told; `keep` is called with the keys whenever there are new ones."""

    def __init__(
        self,
        own: Iterable[bytes],
        url: str | None = None,
        others: Iterable[str] = (),
        known: Mapping[bytes, str] | None = None,
        keep: Callable[[Mapping[bytes, str]], None] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._own = tuple(own)
        self._keep = keep
        self._view = NetworkView(None, tuple(others), {})
        self._known = {key: place for key, place in (known or {}).items() if is_url(place)}
        self._rivals: dict[tuple[bytes, str], None] = {}
        if url is not None:
            self.announce(url)

    def announce(self, url: str) -> None:
        """Our own URL is `url`: known once the port is."""
        with self._lock:
            keys = dict.fromkeys(self._own, url)
            urls = dict.fromkeys((url, *self._view.urls, *self._known.values()))
            known = {key: place for key, place in {**self._known, **self._view.keys}.items() if key not in keys}
            self._view = NetworkView(url, tuple(urls), {**keys, **known})

    @property
    def view(self) -> NetworkView:
        """As it is now."""
        with self._lock:
            return self._view

    def learn(self, other: NetworkView) -> NetworkView:
        """Merge what a peer says; the view as it was before. Keys of its own that others are known to have are rivals."""
        with self._lock:
            before = self._view
            for key, url in other.keys.items():
                known = before.keys.get(key)
                if known is not None and url == other.url and not same_place(known, url):
                    self._note(key, url)
            self._view = before.merged(replace(other, url=None))
            changed = len(self._view.keys) != len(before.keys)
        if changed:
            self._keep_known()
        return before

    def take_rivals(self) -> list[tuple[bytes, str]]:
        """Keys that are known to be elsewhere, and the URL of a manager that says to have them; each once."""
        with self._lock:
            rivals, self._rivals = list(self._rivals), {}
            return rivals

    def move(self, key: bytes, url: str) -> None:
        """The manager of `key`, which is not our own, is at `url` from now on."""
        with self._lock:
            self._view = replace(self._view, keys={**self._view.keys, key: url})
        self._keep_known()

    def _note(self, key: bytes, url: str) -> None:
        if len(self._rivals) < MAX_RIVALS:
            self._rivals[key, url] = None

    def _keep_known(self) -> None:
        if self._keep is not None:
            self._keep({key: url for key, url in self.view.keys.items() if key not in self._own})

    def url_of(self, key: bytes) -> str | None:
        """Where the manager of `key` is."""
        with self._lock:
            return self._view.keys.get(key)
