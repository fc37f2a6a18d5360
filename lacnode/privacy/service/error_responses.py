"""Orion's error bodies: JSON with one error code."""

import orjson

from lacnode.http.http_messages import JSON, Response
from lacnode.privacy.transaction_manager import EnclaveError

NOT_FOUND = frozenset(("EnclavePayloadNotFound", "EnclaveKeysCannotDecryptPayload", "PrivacyGroupNotFound"))
"""The codes that have the status 404 when something is read."""

UNMAPPED = "0x000000F"


def error_response(error: EnclaveError, not_found_status: int = 500) -> Response:
    """Return the response for `error`: JSON with its code. The status is `not_found_status` for the codes in
    `NOT_FOUND`, and 500 for all others."""
    return _response(not_found_status if error.code in NOT_FOUND else 500, error.code)


def store_failure_response() -> Response:
    """Return the response if the manager's own store fails (EnclaveUnreachableError): status 500 with Orion's code for
    an unknown error. The reason is in the manager's log."""
    # The client may be another program. The text of an internal failure is not for it.
    return _response(500, UNMAPPED)


def _response(status: int, code: str) -> Response:
    return Response(status, orjson.dumps({"error": code}), (JSON,))
