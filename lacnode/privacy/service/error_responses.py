"""Orion's error bodies: JSON with one code word."""

import orjson

from lacnode.http.http_messages import JSON, Response
from lacnode.privacy.transaction_manager import EnclaveError

NOT_FOUND = frozenset(("EnclavePayloadNotFound", "EnclaveKeysCannotDecryptPayload", "PrivacyGroupNotFound"))
"""Codes with status 404 where something is read."""

UNMAPPED = "0x000000F"


def error_response(error: EnclaveError, not_found: int = 500) -> Response:
    """The answer for `error`; `not_found` is the status of what is not there."""
    return _response(not_found if error.code in NOT_FOUND else 500, error.code)


def unreachable_response() -> Response:
    """The answer when the manager itself fails; the reason is in its own log."""
    return _response(500, UNMAPPED)


def _response(status: int, code: str) -> Response:
    return Response(status, orjson.dumps({"error": code}), (JSON,))
