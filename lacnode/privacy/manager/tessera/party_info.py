"""How Tesseras say where they are: pushed to each other as bytes, and shown as JSON to whoever asks.

Follows Tessera's PartyInfoParser and PartyInfoResource. Here it is a NetworkView, and as unproven as any.
"""

from typing import Any

from lacnode.privacy.keys import KEY_SIZE, from_text
from lacnode.privacy.manager.bounded_json import read_json
from lacnode.privacy.manager.network_view import MAX_KEYS, MAX_URLS, NetworkView, check_url
from lacnode.privacy.manager.tessera.binary import WIDTH, Fields, TesseraError, array, field


def encode_party_info(view: NetworkView) -> bytes:
    """Tessera's form."""
    keys = b"".join(field(key) + field(url.encode()) for key, url in view.keys.items())
    return b"".join(
        (
            field((view.url or "").encode()),
            len(view.keys).to_bytes(WIDTH) + keys,
            array(url.encode() for url in view.urls),
        )
    )


def decode_party_info(data: bytes) -> NetworkView:
    """The view that `data` is; TesseraError."""
    fields = Fields(data, "party info")
    url = fields.text("url")
    keys = fields.items("recipients", MAX_KEYS, lambda: (fields.data("recipients", KEY_SIZE), fields.text("url")))
    urls = fields.items("parties", MAX_URLS, lambda: fields.text("parties"))
    fields.end()
    try:
        return NetworkView(check_url(url), tuple(map(check_url, urls)), {key: check_url(at) for key, at in keys})
    except ValueError as error:
        raise TesseraError(f"party info: {error}") from None


def read_party_info(data: bytes) -> NetworkView:
    """The view in the JSON that a Tessera answers with; TesseraError."""
    try:
        answer: Any = read_json(data)
        keys = {from_text(entry["key"], KEY_SIZE): check_url(entry["url"]) for entry in answer["keys"]}
        return NetworkView(check_url(answer["url"]), (), keys)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise TesseraError("party info: an object with url and keys was expected") from None
