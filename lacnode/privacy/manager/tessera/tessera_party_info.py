"""Tessera's party info: bytes that Tesseras push to each other, and JSON that they show.

Follows Tessera's `PartyInfoParser` and `PartyInfoResource`. Here it becomes a `PartyInfo`, which proves nothing.
"""

from typing import Any

from lacnode.privacy.keys import KEY_BYTES, from_base64
from lacnode.privacy.manager.bounded_json import parse_bounded_json
from lacnode.privacy.manager.orion_party_info import MAX_PARTY_INFO_KEYS, MAX_PARTY_INFO_URLS, PartyInfo, validate_url
from lacnode.privacy.manager.tessera.tessera_encoding import (
    LENGTH_FIELD_BYTES,
    BinaryFields,
    TesseraError,
    encode_array_field,
    encode_field,
)


def encode_tessera_party_info(view: PartyInfo) -> bytes:
    """Encode a party info in Tessera's binary form. An own URL of None becomes empty text."""
    keys = b"".join(encode_field(key) + encode_field(url.encode()) for key, url in view.keys.items())
    return b"".join(
        (
            encode_field((view.url or "").encode()),
            len(view.keys).to_bytes(LENGTH_FIELD_BYTES) + keys,
            encode_array_field(url.encode() for url in view.urls),
        )
    )


def decode_tessera_party_info(data: bytes) -> PartyInfo:
    """Decode a party info in Tessera's binary form. TesseraError if it is malformed, above a bound, or has an invalid
    URL."""
    fields = BinaryFields(data, "party info")
    url = fields.next_text("url")
    keys = fields.next_items(
        "recipients", MAX_PARTY_INFO_KEYS, lambda: (fields.next_bytes("recipients", KEY_BYTES), fields.next_text("url"))
    )
    urls = fields.next_items("parties", MAX_PARTY_INFO_URLS, lambda: fields.next_text("parties"))
    fields.check_no_bytes_left()
    try:
        return PartyInfo(validate_url(url), tuple(map(validate_url, urls)), {key: validate_url(at) for key, at in keys})
    except ValueError as error:
        raise TesseraError(f"party info: {error}") from None


def decode_tessera_party_info_json(data: bytes) -> PartyInfo:
    """Read a party info in the JSON of a Tessera's answer: its URL and keys, without the list of URLs. TesseraError if
    it is malformed, has an invalid URL or too many values."""
    try:
        answer: Any = parse_bounded_json(data)
        keys = {from_base64(entry["key"], KEY_BYTES): validate_url(entry["url"]) for entry in answer["keys"]}
        return PartyInfo(validate_url(answer["url"]), (), keys)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise TesseraError("party info: an object with url and keys was expected") from None
