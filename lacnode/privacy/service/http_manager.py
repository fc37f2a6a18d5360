"""A manager behind HTTP as a `TransactionManager`: Orion, Tessera in orion mode, or lacnode's manager in another process.

The form of its answers is checked like that of a stranger.
"""

import re
import ssl
from collections.abc import Collection, Sequence
from typing import Any

import httpx
import orjson
import structlog

from lacnode.privacy.keys import KEY_BYTES, from_base64, to_base64
from lacnode.privacy.manager.bounded_json import parse_bounded_json
from lacnode.privacy.payload_ownership import is_legacy_group_of
from lacnode.privacy.service.enclave_tls import EnclaveTls, UntrustedEnclaveError
from lacnode.privacy.service.peer_exchange import BYTES_PER_PIECE, FREE_PIECES
from lacnode.privacy.service.timed_transport import TRANSPORT_ERRORS, TimedTransport, WholeCallTimeoutError
from lacnode.privacy.transaction_manager import (
    EnclaveError,
    EnclaveUnreachableError,
    GroupType,
    PrivacyGroup,
    ReceivedPayload,
)

log = structlog.get_logger("privacy")

CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 5.0
"""Besu's time limits."""

WHOLE_CALL_SECONDS = 60.0
"""Seconds for a call from its begin to the end of its answer. Besu bounds each part of it alone."""

MAX_CLIENT_ANSWER_BYTES = 33_554_432
MAX_GROUPS_VALUES = 262_144
"""The largest number of values in an answer with groups, separators in their texts among them. For all other answers
`bounded_json` says it."""

MAX_ERROR_ANSWER_BYTES, MAX_ERROR_CHARACTERS = 16_384, 200
"""How much of an answer with an error is read, and how long its code may be. The rest is cut off."""

ORION_CONTENT_TYPE = "application/vnd.orion.v1+json"
WRONG_ANSWER = "the transaction manager answers what it should not"
OLD_ORION_MESSAGE = "Incompatible Orion version. Orion version must be 1.6.0 or greater."

_BASE64 = re.compile(r"\s*[A-Za-z0-9+/]{40,}={0,2}\s*")
TESSERA_CODES = (
    (re.compile(r"Message with hash .* was not found"), "EnclavePayloadNotFound"),
    (re.compile(r"No suitable recipient keys found to decrypt payload for.*"), "EnclaveKeysCannotDecryptPayload"),
    (re.compile(r"recipient not found in listed keys"), "EnclaveKeysCannotDecryptPayload"),
    (re.compile(r"Privacy group .* not found"), "PrivacyGroupNotFound"),
)


class HttpTransactionManager:
    """The manager whose client API is at `url`: a `TransactionManager`. Every request has `token` as its bearer token,
    unless it is None. Safe to use from several threads. A call waits at most `CONNECT_SECONDS` for the connection and
    `ANSWER_SECONDS` for each part of the answer. The whole call takes at most `WHOLE_CALL_SECONDS`.

    With `tls`, the URL is that of `tls`, and the manager's certificate must be the known one. Without `tls`, an https
    URL is checked by the system's roots.
    """

    def __init__(self, url: str, token: str | None = None, tls: EnclaveTls | None = None) -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._tls = tls
        self._last_reason = ""
        # One client for all threads. httpx keeps its connections open, so a call needs no new handshake.
        self._client = httpx.Client(
            base_url=(url if tls is None else tls.url).rstrip("/"),
            headers=headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            transport=TimedTransport(WHOLE_CALL_SECONDS, None if tls is None else tls.context),
            # Proxies of the environment are ignored. The manager's requests have plaintexts and keys.
            trust_env=False,
        )

    def close(self) -> None:
        """Close every connection to the manager. No other method may be called after it."""
        self._client.close()

    def __enter__(self) -> "HttpTransactionManager":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def is_up(self) -> bool:
        """Return True if the manager answers its up-check. Raises no error."""
        try:
            self._call("GET", "/upcheck")
        except (EnclaveUnreachableError, EnclaveError):
            return False
        return True

    def send(self, payload: bytes, sender: bytes | None, recipients: Sequence[bytes]) -> bytes:
        """Let the manager encrypt, store and deliver `payload` for the public keys `recipients` and the sender (None
        for the manager's first key). Return the key of the payload (32 bytes). EnclaveError if the manager refuses,
        EnclaveUnreachableError if it does not answer or its answer is malformed."""
        body: dict[str, Any] = {"payload": to_base64(payload), "to": [to_base64(key) for key in recipients]}
        if sender is not None:
            body["from"] = to_base64(sender)
        return _bytes(_object(self._post("/send", body)), "key")

    def send_to_group(self, payload: bytes, sender: bytes, group_id: bytes) -> bytes:
        """Let the manager encrypt, store and deliver `payload` of the public key `sender` for the members of the group
        `group_id` (32 bytes). Return the key of the payload (32 bytes). EnclaveError if the manager refuses,
        EnclaveUnreachableError if it does not answer or its answer is malformed."""
        body = {"payload": to_base64(payload), "from": to_base64(sender), "privacyGroupId": to_base64(group_id)}
        return _bytes(_object(self._post("/send", body)), "key")

    def receive(self, key: bytes, to: bytes | None = None) -> ReceivedPayload:
        """Return the payload of `key` (32 bytes), which the manager opens with the private key of `to` or of any own
        key. EnclaveError if the manager does not have it, cannot open it, or is an Orion before 1.6.0.
        EnclaveUnreachableError if it does not answer or its answer is malformed."""
        body = {"key": to_base64(key), "to": None if to is None else to_base64(to)}
        answer = _object(self._post("/receive", body, ORION_CONTENT_TYPE))
        # Besu's check. Without the sender's key the node cannot decide to which group the payload belongs.
        if answer.get("senderKey") is None:
            raise EnclaveError(OLD_ORION_MESSAGE)
        try:
            payload = from_base64(answer.get("payload"))
        except ValueError:
            raise _malformed("payload") from None
        return ReceivedPayload(payload, _bytes(answer, "senderKey"), _bytes(answer, "privacyGroupId"))

    def create_group(
        self, members: Sequence[bytes], sender: bytes, name: str = "", description: str = "", seed: bytes | None = None
    ) -> PrivacyGroup:
        """Let the manager create a PANTHEON group of the public keys `members` (32 bytes each) for `sender`, and
        announce it to the managers of its members. The manager chooses the seed if `seed` is None. EnclaveError if the
        manager refuses, EnclaveUnreachableError if it does not answer or its answer is malformed."""
        body: dict[str, Any] = {
            "addresses": [to_base64(member) for member in members],
            "from": to_base64(sender),
            "name": name,
            "description": description,
        }
        if seed is not None:
            body["seed"] = to_base64(seed)
        return _group(self._post_for_groups("/createPrivacyGroup", body))

    def delete_group(self, group_id: bytes, sender: bytes) -> bytes:
        """Let the manager delete the group `group_id` (32 bytes) for the public key `sender`. Return the id of the
        group. EnclaveError if the manager refuses, EnclaveUnreachableError if it does not answer or its answer is
        malformed."""
        body = {"privacyGroupId": to_base64(group_id), "from": to_base64(sender)}
        return _bytes({"id": self._post("/deletePrivacyGroup", body)}, "id")

    def find_groups(self, members: Sequence[bytes]) -> Sequence[PrivacyGroup]:
        """Return the groups of the manager that have exactly these members (public keys of 32 bytes), in any order.
        Empty if there are none. EnclaveError if the manager refuses, EnclaveUnreachableError if it does not answer or
        its answer is malformed."""
        found = self._post_for_groups("/findPrivacyGroup", {"addresses": [to_base64(member) for member in members]})
        if not isinstance(found, list):
            raise _malformed("list of groups")
        return [_group(group) for group in found]

    def retrieve_group(self, group_id: bytes) -> PrivacyGroup:
        """Return the group `group_id` (32 bytes) of the manager. EnclaveError if the manager refuses,
        `PrivacyGroupNotFound` if it does not know the group or deleted it. EnclaveUnreachableError if it does not
        answer or its answer is malformed."""
        return _group(self._post_for_groups("/retrievePrivacyGroup", {"privacyGroupId": to_base64(group_id)}))

    def pantheon_members(self, group_id: bytes) -> Collection[bytes] | None:
        """Return the members (public keys) of the PANTHEON group `group_id` (32 bytes). None if the manager does not
        know it or deleted it, empty if it has another type. EnclaveUnreachableError if it does not answer or its answer
        is malformed.

        As in Besu, every error with which the manager answers means that the group does not exist: None.
        """
        try:
            group = self.retrieve_group(group_id)
        except EnclaveError:
            return None
        return group.members if group.type is GroupType.PANTHEON else ()

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Sequence[bytes] | None:
        """Return the members of the LEGACY group `group_id` (32 bytes), as the manager stores it, if the id is computed
        from them. That `named` are among them is the caller's check. None if the manager has no such group or answers
        with an error. EnclaveUnreachableError if it does not answer or its answer is malformed.

        Orion and Tessera store the group of a payload that their own client sent. For a received payload they store
        none.
        """
        try:
            group = self.retrieve_group(group_id)
        except EnclaveError:
            return None
        # The answer is only used if the id follows from its members. A wrong answer cannot put a payload into a group.
        is_widened = group.type is GroupType.LEGACY and is_legacy_group_of(group.members, group_id)
        return group.members if is_widened else None

    def _unreachable(self, reason: str) -> EnclaveUnreachableError:
        """Return the error to raise. A new reason is logged. Callers ask again and again, so an old one is not."""
        if reason != self._last_reason:
            self._last_reason = reason
            log.warning(f"the transaction manager does not answer: {reason}")
        return EnclaveUnreachableError(f"the transaction manager does not answer: {reason}")

    def _post_for_groups(self, path: str, body: dict[str, Any]) -> Any:
        return self._post(path, body, max_values=MAX_GROUPS_VALUES)

    def _post(
        self, path: str, body: dict[str, Any], kind: str = "application/json", max_values: int | None = None
    ) -> Any:
        answer = self._call("POST", path, orjson.dumps(body), kind)
        try:
            return parse_bounded_json(answer, max_values)
        except orjson.JSONDecodeError:
            raise _malformed("JSON") from None
        except ValueError as error:
            raise EnclaveUnreachableError(f"{WRONG_ANSWER}: {error}") from None

    def _call(self, method: str, path: str, body: bytes = b"", kind: str = "text/plain") -> bytes:
        # No compression, so that the size of the answer is the size that arrives.
        headers = {"content-type": kind, "accept-encoding": "identity"}
        # With `trace` the certificate is checked after the handshake and before the request is sent on the connection.
        checks = {} if self._tls is None else {"trace": self._tls.check_new_connection}
        try:
            with self._client.stream(method, path, content=body, headers=headers, extensions=checks) as response:
                answer = _read_body(response)
                status = response.status_code
        # The text names the certificate's fingerprint, or the time limit. Other errors only name their kind.
        except (UntrustedEnclaveError, WholeCallTimeoutError) as error:
            raise self._unreachable(str(error)) from None
        except (httpx.HTTPError, httpx.StreamError, *TRANSPORT_ERRORS, ssl.SSLError, OSError) as error:
            raise self._unreachable(_error_name(error)) from None
        self._last_reason = ""
        if status != 200:
            raise EnclaveError(parse_error_code(status, answer))
        return answer


def _read_body(response: httpx.Response) -> bytes:
    """Return the body of an answer, of an error the first bytes. EnclaveUnreachableError if it is compressed, too long
    or in too many pieces."""
    # httpx unpacks a body although it did not ask for a packed one, and twice if the head says so. A packed answer of
    # three thousand bytes can have gigabytes.
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise _malformed("answer without compression")
    answer = bytearray()
    # The answer is read in pieces. A manager that sends without end must not fill the memory, and one that sends single
    # bytes must not take a processor for the whole time of the call.
    for pieces, piece in enumerate(response.iter_bytes(), 1):
        answer += piece
        if response.status_code != 200 and len(answer) >= MAX_ERROR_ANSWER_BYTES:
            # The connection is closed, since the rest is not read.
            return bytes(answer[:MAX_ERROR_ANSWER_BYTES])
        if len(answer) > MAX_CLIENT_ANSWER_BYTES:
            raise _malformed(f"answer of at most {MAX_CLIENT_ANSWER_BYTES} bytes")
        if pieces > FREE_PIECES + len(answer) // BYTES_PER_PIECE:
            raise _malformed(f"answer in at most {FREE_PIECES} pieces and one for {BYTES_PER_PIECE} bytes")
    return bytes(answer)


def _error_name(error: BaseException) -> str:
    """Return the kind of an error, and the reason of TLS if TLS failed. Neither contains a payload."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"{type(error).__name__}, {cause.reason}"
        # httpx wraps the error of TLS. The reason that an operator needs is in the chain of causes.
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def parse_error_code(status: int, body: bytes) -> str:
    """Return Orion's error code in the `body` of an answer with another `status` than 200.

    For Tessera this is its text: a code if Orion has one for it, else the text without base64. `HTTP status N` if there
    is neither. At most the first `MAX_ERROR_CHARACTERS` are returned. No error is raised.
    """
    return _parse_whole_error_code(status, body)[:MAX_ERROR_CHARACTERS]


def _parse_whole_error_code(status: int, body: bytes) -> str:
    try:
        answer = parse_bounded_json(body)
        if isinstance(answer, dict) and isinstance(answer.get("error"), str):
            return str(answer["error"])
    except ValueError:
        pass
    # A page of a proxy may stand here. The first part of it is enough to recognise a known text.
    text = body[:1000].decode("utf-8", "replace").strip()
    for pattern, code in TESSERA_CODES:
        if pattern.fullmatch(text):
            return code
    # Tessera has no error code for these two. The status is all that tells them apart.
    if status == 413:
        return "InvalidPayload"
    if status == 410 and not text:
        return "NodePropagatingToAllPeers"
    # The base64 in a text can be a key or a hash. It is left out, because the text goes to the client and to the log.
    return _BASE64.sub("", text).strip() or f"HTTP status {status}"


def _malformed(what: str) -> EnclaveUnreachableError:
    return EnclaveUnreachableError(f"{WRONG_ANSWER}: {what} was expected")


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise _malformed("object")
    return answer


def _bytes(answer: dict[str, Any], name: str) -> bytes:
    try:
        return from_base64(answer.get(name), KEY_BYTES)
    except ValueError:
        raise _malformed(f"{name} of {KEY_BYTES} bytes") from None


def _group(answer: Any) -> PrivacyGroup:
    fields = _object(answer)
    members, kind = fields.get("members"), fields.get("type")
    # The type decides how the group is used. An unknown type must not pass for one of the two.
    if not isinstance(members, list) or kind not in ("LEGACY", "PANTHEON"):
        raise _malformed("group with members and type")
    return PrivacyGroup(
        _bytes(fields, "privacyGroupId"),
        str(fields.get("name") or ""),
        str(fields.get("description") or ""),
        GroupType(kind),
        tuple(_bytes({"member": member}, "member") for member in members),
    )
