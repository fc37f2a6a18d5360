"""Party info: the managers that one manager knows, their URLs and their keys. Must not open a connection."""

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
"""The largest size of an encoded party info, sent or received."""

HEAD_BYTES, KEY_ENTRY_BYTES, URL_ENTRY_BYTES = 64, 50, 4
"""The largest size of the parts of an encoded party info without its URLs: the head, a key entry and a URL entry."""

ManagerAddress = tuple[str, str | None, int | None]
"""The scheme, the host and the port of a manager's URL."""

_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)
"""A URL has visible ASCII characters alone. A line break in it could forge lines of the log."""


@dataclass(frozen=True, slots=True)
class PartyInfo:
    """The managers that one manager knows at one time. `url` is its own URL, None if it is not known yet. `urls` are the
    URLs of managers that it knows. `keys` are public keys (32 bytes) and the URLs of their managers."""

    url: str | None
    urls: tuple[str, ...] = ()
    keys: Mapping[bytes, str] = field(default_factory=dict)


def validate_url(url: object) -> str:
    """Return `url` unchanged if it is an HTTP or HTTPS URL with a host, without a user name, of at most
    `MAX_URL_CHARACTERS` visible ASCII characters. ValueError for any other value."""
    if not isinstance(url, str) or len(url) > MAX_URL_CHARACTERS or not _URL.fullmatch(url):
        raise ValueError("a URL http[s]://host[:port] was expected")
    parts = urlsplit(url)
    # A user name could hide the host from a reader of the log (`http://known-host@other-host`).
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("a URL http[s]://host[:port] was expected")
    # `port` is computed here, and it raises ValueError for a port that is not a number up to 65535.
    _ = parts.port
    return url


def is_url(url: object) -> TypeGuard[str]:
    """Return True if `validate_url` accepts `url`."""
    try:
        validate_url(url)
    except ValueError:
        return False
    return True


def manager_address(url: str) -> ManagerAddress:
    """Return which manager is at `url`: its scheme, host and port, None for a part that is left out. The path does not
    count. ValueError if the port is not a number."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def is_same_manager(one: str, other: str) -> bool:
    """Return True if two URLs have the same scheme, host and port. A default port that is left out is another port.
    ValueError if a port is not a number."""
    return manager_address(one) == manager_address(other)


def truncate_party_info(view: PartyInfo) -> PartyInfo:
    """Return `view` with as many of its first keys, and then of its first URLs, as other managers read."""
    # Other managers refuse a larger party info as a whole. The best known entries come first, so these are kept.
    left = MAX_PARTY_INFO_BYTES - MAX_URL_CHARACTERS - HEAD_BYTES
    keys: dict[bytes, str] = {}
    for key, url in view.keys.items():
        # The sizes are counted, not measured: encoding again after each entry would take quadratic time.
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
    """Encode a party info in Orion's CBOR. Its size is not checked (see `truncate_party_info`)."""
    fields: dict[str, object] = {} if view.url is None else {"url": view.url}
    fields["nodeURLs"] = list(view.urls)
    fields["nodePKs"] = _encoded_keys(view.keys)
    return encode_map(fields)


def decode_orion_party_info(data: bytes, max_entries: int | None = None) -> PartyInfo:
    """Decode the party info of another manager, in Orion's CBOR. CborError if it is malformed or too large, or if the
    manager's own URL is invalid.

    Other entries with an invalid URL are left out. An honest manager may pass on an invalid entry of another one, and
    that must not cost the other entries. With `max_entries` at most so many URLs and so many keys are read, the
    sender's own keys first: the check of a URL is the expensive part, and a caller that stores few entries need not
    check all.
    """
    if len(data) > MAX_PARTY_INFO_BYTES:
        raise CborError(f"network view: at most {MAX_PARTY_INFO_BYTES} bytes were expected, found {len(data)}")
    fields = decode_map(data, "network view", {"nodePKs": _decode_key})
    url, urls = fields.read_field("url", str, True), fields.read_field("nodeURLs", list)
    keys = fields.read_field("nodePKs", dict)
    fields.check_no_fields_left()
    if len(urls) > MAX_PARTY_INFO_URLS or len(keys) > MAX_PARTY_INFO_KEYS:
        raise CborError(
            f"network view: at most {MAX_PARTY_INFO_URLS} URLs and {MAX_PARTY_INFO_KEYS} keys were expected"
        )
    if max_entries is not None:
        # The sender's own keys are first-hand. Without this order, a long list could push them out.
        urls = urls[:max_entries]
        own = {key: place for key, place in keys.items() if place == url}
        keys = dict(islice({**own, **keys}.items(), max_entries))
    try:
        # The same table: a copy would take as much memory again.
        for key in [key for key, place in keys.items() if not is_url(place)]:
            del keys[key]
        return PartyInfo(validate_url(url) if url is not None else None, tuple(filter(is_url, urls)), keys)
    except ValueError as error:
        raise CborError(f"network view: {error}") from None


def _decode_key(text: object) -> bytes:
    try:
        return from_base64(text, KEY_BYTES)
    except ValueError as error:
        raise CborError(f"network view.nodePKs: {error}") from None


def _encoded_keys(keys: Mapping[bytes, str]) -> EncodedCbor:
    return EncodedCbor(encode_map({to_base64(key): url for key, url in keys.items()}))
