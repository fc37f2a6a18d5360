"""What a manager knows of the others: where they are, and which key is reached where.

Views are merged by one rule, Orion's: what is known is never replaced. So whoever announces a key first keeps it, and a
second manager that claims it is ignored. Must not open a connection.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard
from urllib.parse import urlsplit

from lacnode.privacy.keys import KEY_SIZE, from_text, to_text
from lacnode.privacy.manager.cbor import CborError, Encoded, decode_map, encode_map

MAX_URLS, MAX_KEYS, MAX_URL = 1024, 2048, 2048
MAX_VIEW_BYTES = 262_144
"""Of a view that is told or heard."""

_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)
"""Visible ASCII only: a line break would forge lines of the log."""


@dataclass(frozen=True, slots=True)
class NetworkView:
    """One manager's knowledge at one time. `keys` are 32-byte public keys and the URL of their manager's node API."""

    url: str | None
    urls: tuple[str, ...] = ()
    keys: Mapping[bytes, str] = field(default_factory=dict)

    def merged(self, other: "NetworkView") -> "NetworkView":
        """This view and what `other` knows besides; no more than the bounds of a view."""
        offered = dict.fromkeys((*other.urls, *other.keys.values(), *([other.url] if other.url else [])))
        urls = [*self.urls, *(url for url in offered if url not in self.urls)][: max(MAX_URLS, len(self.urls))]
        keys = dict(self.keys)
        for key, url in other.keys.items():
            if len(keys) >= MAX_KEYS:
                break
            keys.setdefault(key, url)
        return NetworkView(self.url, tuple(urls), keys)


def check_url(url: object) -> str:
    """`url` if it is an HTTP URL with a host; ValueError."""
    if not isinstance(url, str) or len(url) > MAX_URL or not _URL.fullmatch(url):
        raise ValueError("a URL http[s]://host[:port] was expected")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("a URL http[s]://host[:port] was expected")
    _ = parts.port
    return url


def is_url(url: object) -> TypeGuard[str]:
    """Whether `check_url` takes it."""
    try:
        check_url(url)
    except ValueError:
        return False
    return True


def same_place(one: str, other: str) -> bool:
    """Whether two URLs are of the same manager: their paths do not count."""
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, first.hostname, first.port) == (second.scheme, second.hostname, second.port)


def encode_view(view: NetworkView) -> bytes:
    """Orion's CBOR."""
    fields: dict[str, object] = {} if view.url is None else {"url": view.url}
    fields["nodeURLs"] = list(view.urls)
    fields["nodePKs"] = _encoded_keys(view.keys)
    return encode_map(fields)


def decode_view(data: bytes) -> NetworkView:
    """The view that `data` is, without what it says of others' URLs that are none: one bad entry, which a stranger can
    make a manager pass on, must not cost the rest. CborError."""
    if len(data) > MAX_VIEW_BYTES:
        raise CborError(f"network view: at most {MAX_VIEW_BYTES} bytes were expected, found {len(data)}")
    fields = decode_map(data, "network view")
    url, urls = fields.take("url", str, True), fields.take("nodeURLs", list)
    keys = fields.take("nodePKs", dict)
    fields.end()
    if len(urls) > MAX_URLS or len(keys) > MAX_KEYS:
        raise CborError(f"network view: at most {MAX_URLS} URLs and {MAX_KEYS} keys were expected")
    try:
        known = {from_text(key, KEY_SIZE): place for key, place in keys.items() if is_url(place)}
        return NetworkView(check_url(url) if url is not None else None, tuple(filter(is_url, urls)), known)
    except ValueError as error:
        raise CborError(f"network view: {error}") from None


def _encoded_keys(keys: Mapping[bytes, str]) -> Encoded:
    return Encoded(encode_map({to_text(key): url for key, url in keys.items()}))
