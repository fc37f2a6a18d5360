"""The JSON bodies of the client API. As in Orion, an unknown field is an error."""

from collections.abc import Sequence
from typing import Any

from lacnode.privacy.keys import KEY_BYTES, decode_public_key, from_base64, to_base64
from lacnode.privacy.manager.bounded_json import parse_bounded_json
from lacnode.privacy.transaction_manager import EnclaveError, PrivacyGroup

UNREADABLE = "ObjectJsonDeserialization"


class JsonRequestBody:
    """The fields of the JSON object in `data`. `names` are the allowed fields.

    EnclaveError `ObjectJsonDeserialization` if the body is not such an object, has another field or too many values.
    The methods raise this error too, unless they name another code.
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
        """Return a field of text, empty if it is absent or null. EnclaveError `ObjectJsonDeserialization` if it is not
        text."""
        value = self._fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise EnclaveError(UNREADABLE)
        return value

    def data(self, name: str) -> bytes:
        """Return the bytes of a base64 field, empty if it is absent or null. EnclaveError `ObjectJsonDeserialization`
        if it is not base64."""
        try:
            return from_base64(self.text(name))
        except ValueError:
            raise EnclaveError(UNREADABLE) from None

    def key(self, name: str) -> bytes | None:
        """Return the public key (32 bytes) in a base64 field, None if it is absent or null. EnclaveError
        `EnclaveDecodePublicKey` for any other value."""
        return decode_public_key(self._fields[name]) if self.has(name) else None

    def keys(self, name: str) -> list[bytes]:
        """Return the public keys (32 bytes each) in a list of base64 texts, empty if the field is absent or null.
        EnclaveError `ObjectJsonDeserialization` if it is no list, `EnclaveDecodePublicKey` if one is malformed."""
        values = self._fields.get(name) or []
        if not isinstance(values, list):
            raise EnclaveError(UNREADABLE)
        return [decode_public_key(value) for value in values]

    def id(self, name: str, code_if_malformed: str) -> bytes:
        """Return the 32 bytes in a base64 field. EnclaveError with the code `code_if_malformed` for any other text and
        for an absent field: nothing has such an id. EnclaveError `ObjectJsonDeserialization` if the field is not text.
        """
        try:
            return from_base64(self.text(name), KEY_BYTES)
        except ValueError:
            raise EnclaveError(code_if_malformed) from None


def group_json(group: PrivacyGroup) -> dict[str, Any]:
    """Return a group as the JSON object of Orion's client API. Its id and members are base64 text."""
    return {
        "privacyGroupId": to_base64(group.id),
        "name": group.name,
        "description": group.description,
        "type": group.type.value,
        "members": [to_base64(member) for member in group.members],
    }
