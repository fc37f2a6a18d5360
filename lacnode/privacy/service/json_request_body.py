"""The JSON bodies of the client API. As in Orion, an unknown field is an error."""

from collections.abc import Sequence
from typing import Any

from lacnode.privacy.keys import KEY_BYTES, decode_public_key, from_base64, to_base64
from lacnode.privacy.manager.bounded_json import parse_bounded_json
from lacnode.privacy.transaction_manager import EnclaveError, PrivacyGroup

UNREADABLE = "ObjectJsonDeserialization"


class JsonRequestBody:
    """The fields of one JSON object. `names` are the allowed fields.

    EnclaveError `ObjectJsonDeserialization` if the body is not such an object or a field has another type.
    """

    def __init__(self, data: bytes, names: Sequence[str]) -> None:
        try:
            fields = parse_bounded_json(data)
        except ValueError:
            raise EnclaveError(UNREADABLE) from None
        # A mistyped field must not be ignored: `privacyGroupID` would send to another group than the caller meant.
        if not isinstance(fields, dict) or not fields.keys() <= set(names):
            raise EnclaveError(UNREADABLE)
        self._fields: dict[str, Any] = fields

    def has(self, name: str) -> bool:
        """Return True if the field is present and not null."""
        return self._fields.get(name) is not None

    def text(self, name: str) -> str:
        """Return a string, empty if the field is absent. EnclaveError if it is not a string."""
        value = self._fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise EnclaveError(UNREADABLE)
        return value

    def data(self, name: str) -> bytes:
        """Return the bytes of a base64 field, empty if it is absent. EnclaveError if it is not base64."""
        try:
            return from_base64(self.text(name))
        except ValueError:
            raise EnclaveError(UNREADABLE) from None

    def key(self, name: str) -> bytes | None:
        """Return a public key (32 bytes), None if the field is absent. EnclaveError `EnclaveDecodePublicKey` otherwise."""
        return decode_public_key(self._fields[name]) if self.has(name) else None

    def keys(self, name: str) -> list[bytes]:
        """Return a list of public keys, empty if the field is absent. EnclaveError if one is malformed."""
        values = self._fields.get(name) or []
        if not isinstance(values, list):
            raise EnclaveError(UNREADABLE)
        return [decode_public_key(value) for value in values]

    def id(self, name: str, unknown: str) -> bytes:
        """Return 32 bytes. EnclaveError with the code `unknown` for any other text: nothing has such an id."""
        try:
            return from_base64(self.text(name), KEY_BYTES)
        except ValueError:
            raise EnclaveError(unknown) from None


def group_json(group: PrivacyGroup) -> dict[str, Any]:
    """Return a group in the form of the client API."""
    return {
        "privacyGroupId": to_base64(group.id),
        "name": group.name,
        "description": group.description,
        "type": group.type.value,
        "members": [to_base64(member) for member in group.members],
    }
