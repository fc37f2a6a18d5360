"""The managers that are known, for any number of threads: one network view, kept in the store."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from lacnode.privacy.network_view import NetworkView


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
        self._known = dict(known or {})
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
        """Merge what a peer says; the view as it was before."""
        with self._lock:
            before = self._view
            self._view = before.merged(replace(other, url=None))
            known = {key: url for key, url in self._view.keys.items() if key not in self._own}
            changed = len(self._view.keys) != len(before.keys)
        if changed and self._keep is not None:
            self._keep(known)
        return before

    def url_of(self, key: bytes) -> str | None:
        """Where the manager of `key` is."""
        with self._lock:
            return self._view.keys.get(key)
