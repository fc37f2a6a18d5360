"""What a manager knows of the others: where they are, and which key is reached where. Must not open a connection."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeGuard
from urllib.parse import urlsplit

from lacnode.privacy.keys import KEY_BYTES, from_base64, to_base64
from lacnode.privacy.manager.cbor_records import CborError, EncodedCbor, decode_map, encode_map

MAX_PARTY_INFO_URLS, MAX_PARTY_INFO_KEYS, MAX_URL_CHARACTERS = 1024, 2048, 2048
MAX_PARTY_INFO_BYTES = 262_144
"""Of a view that is told or heard."""

HEAD_BYTES, KEY_ENTRY_BYTES, URL_ENTRY_BYTES = 64, 50, 4
"""What an encoded view takes at most besides its URLs: once, for a key and for a URL."""

_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)
"""Visible ASCII only: a line break would forge lines of the log."""


@dataclass(frozen=True, slots=True)
class PartyInfo:
    """One manager's knowledge at one time. `keys` are 32-byte public keys and the URL of their manager's node API."""

    url: str | None
    urls: tuple[str, ...] = ()
    keys: Mapping[bytes, str] = field(default_factory=dict)


def validate_url(url: object) -> str:
    """`url` if it is an HTTP URL with a host; ValueError."""
    if not isinstance(url, str) or len(url) > MAX_URL_CHARACTERS or not _URL.fullmatch(url):
        raise ValueError("a URL http[s]://host[:port] was expected")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("a URL http[s]://host[:port] was expected")
    _ = parts.port
    return url


def is_url(url: object) -> TypeGuard[str]:
    """Whether `validate_url` takes it."""
    try:
        validate_url(url)
    except ValueError:
        return False
    return True


def is_same_manager(one: str, other: str) -> bool:
    """Whether two URLs are of the same manager: their paths do not count."""
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, first.hostname, first.port) == (second.scheme, second.hostname, second.port)


def truncate_party_info(view: PartyInfo) -> PartyInfo:
    """As many of the first keys and URLs of `view` as others read."""
    left = MAX_PARTY_INFO_BYTES - MAX_URL_CHARACTERS - HEAD_BYTES
    keys: dict[bytes, str] = {}
    for key, url in view.keys.items():
        left -= len(url) + KEY_ENTRY_BYTES
        if left < 0 or len(keys) == MAX_PARTY_INFO_KEYS:
            return PartyInfo(view.url, (), keys)
        keys[key] = url
    urls: list[str] = []
    for url in view.urls:
        left -= len(url) + URL_ENTRY_BYTES
        if left < 0 or len(urls) == MAX_PARTY_INFO_URLS:
            break
        urls.append(url)
    return PartyInfo(view.url, tuple(urls), keys)


def encode_orion_party_info(view: PartyInfo) -> bytes:
    """Orion's CBOR."""
    fields: dict[str, object] = {} if view.url is None else {"url": view.url}
    fields["nodeURLs"] = list(view.urls)
    fields["nodePKs"] = _encoded_keys(view.keys)
    return encode_map(fields)


def decode_orion_party_info(data: bytes, max_entries: int | None = None) -> PartyInfo:
    """Decode the network view of another manager, in Orion's CBOR. CborError if it is malformed or too large.

    Entries whose URL is invalid are left out. A stranger can make an honest manager pass on an invalid entry, and that must
    not cost the other entries. With `max_entries` at most so many URLs and so many keys are read, the sender's own keys
    first: checking a URL is the expensive part, and a caller that stores few entries need not check all.
    """
    if len(data) > MAX_PARTY_INFO_BYTES:
        raise CborError(f"network view: at most {MAX_PARTY_INFO_BYTES} bytes were expected, found {len(data)}")
    fields = decode_map(data, "network view")
    url, urls = fields.take("url", str, True), fields.take("nodeURLs", list)
    keys = fields.take("nodePKs", dict)
    fields.end()
    if len(urls) > MAX_PARTY_INFO_URLS or len(keys) > MAX_PARTY_INFO_KEYS:
        raise CborError(
            f"network view: at most {MAX_PARTY_INFO_URLS} URLs and {MAX_PARTY_INFO_KEYS} keys were expected"
        )
    if max_entries is not None:
        urls = urls[:max_entries]
        own = {key: place for key, place in keys.items() if place == url}
        keys = dict(islice({**own, **keys}.items(), max_entries))
    try:
        known = {from_base64(key, KEY_BYTES): place for key, place in keys.items() if is_url(place)}
        return PartyInfo(validate_url(url) if url is not None else None, tuple(filter(is_url, urls)), known)
    except ValueError as error:
        raise CborError(f"network view: {error}") from None


def _encoded_keys(keys: Mapping[bytes, str]) -> EncodedCbor:
    return EncodedCbor(encode_map({to_base64(key): url for key, url in keys.items()}))
