"""A manager behind HTTP as a TransactionManager: Orion, Tessera in orion mode, or ours in another process. Trusts its
answers' shapes no more than a stranger's."""

import re
import ssl
from collections.abc import Sequence
from typing import Any

import httpx
import orjson
import structlog

from lacnode.privacy.keys import KEY_BYTES, from_base64, to_base64
from lacnode.privacy.payload_ownership import is_legacy_group_of
from lacnode.privacy.service.enclave_tls import EnclaveCertificateError, EnclaveTls
from lacnode.privacy.transaction_manager import (
    EnclaveError,
    EnclaveUnreachableError,
    GroupType,
    PrivacyGroup,
    ReceivedPayload,
)

log = structlog.get_logger("privacy")

CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 5.0
"""Besu's."""

MAX_CLIENT_ANSWER_BYTES = 33_554_432
ORION_CONTENT_TYPE = "application/vnd.orion.v1+json"
OLD_ORION_MESSAGE = "Incompatible Orion version. Orion version must be 1.6.0 or greater."

_BASE64 = re.compile(r"\s*[A-Za-z0-9+/]{40,}={0,2}\s*")
TESSERA_CODES = (
    (re.compile(r"Message with hash .* was not found"), "EnclavePayloadNotFound"),
    (re.compile(r"No suitable recipient keys found to decrypt payload for.*"), "EnclaveKeysCannotDecryptPayload"),
    (re.compile(r"recipient not found in listed keys"), "EnclaveKeysCannotDecryptPayload"),
    (re.compile(r"Privacy group .* not found"), "PrivacyGroupNotFound"),
)


class HttpTransactionManager:
    """`url` is the client API's; `token` is shown to it if given. With `tls` the manager is who that says, and without it
    an https URL goes by the system's roots. Safe from several threads."""

    def __init__(self, url: str, token: str | None = None, tls: EnclaveTls | None = None) -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._tls = tls
        self._trouble = ""
        self._client = httpx.Client(
            base_url=(url if tls is None else tls.url).rstrip("/"),
            headers=headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            verify=True if tls is None else tls.context,
            trust_env=False,
        )

    def close(self) -> None:
        """Let go of every connection."""
        self._client.close()

    def __enter__(self) -> "HttpTransactionManager":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def is_up(self) -> bool:
        """See TransactionManager."""
        try:
            self._call("GET", "/upcheck")
        except (EnclaveUnreachableError, EnclaveError):
            return False
        return True

    def send(self, payload: bytes, sender: bytes | None, recipients: Sequence[bytes]) -> bytes:
        """See TransactionManager."""
        body: dict[str, Any] = {"payload": to_base64(payload), "to": [to_base64(key) for key in recipients]}
        if sender is not None:
            body["from"] = to_base64(sender)
        return _bytes(_object(self._post("/send", body)), "key")

    def send_to_group(self, payload: bytes, sender: bytes, group_id: bytes) -> bytes:
        """See TransactionManager."""
        body = {"payload": to_base64(payload), "from": to_base64(sender), "privacyGroupId": to_base64(group_id)}
        return _bytes(_object(self._post("/send", body)), "key")

    def receive(self, key: bytes, to: bytes | None = None) -> ReceivedPayload:
        """See TransactionManager."""
        body = {"key": to_base64(key), "to": None if to is None else to_base64(to)}
        answer = _object(self._post("/receive", body, ORION_CONTENT_TYPE))
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
        """See TransactionManager."""
        body: dict[str, Any] = {
            "addresses": [to_base64(member) for member in members],
            "from": to_base64(sender),
            "name": name,
            "description": description,
        }
        if seed is not None:
            body["seed"] = to_base64(seed)
        return _group(self._post("/createPrivacyGroup", body))

    def delete_group(self, group_id: bytes, sender: bytes) -> bytes:
        """See TransactionManager."""
        body = {"privacyGroupId": to_base64(group_id), "from": to_base64(sender)}
        return _bytes({"id": self._post("/deletePrivacyGroup", body)}, "id")

    def find_groups(self, members: Sequence[bytes]) -> Sequence[PrivacyGroup]:
        """See TransactionManager."""
        found = self._post("/findPrivacyGroup", {"addresses": [to_base64(member) for member in members]})
        if not isinstance(found, list):
            raise _malformed("list of groups")
        return [_group(group) for group in found]

    def retrieve_group(self, group_id: bytes) -> PrivacyGroup:
        """See TransactionManager."""
        return _group(self._post("/retrievePrivacyGroup", {"privacyGroupId": to_base64(group_id)}))

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Sequence[bytes] | None:
        """See TransactionManager. Orion and Tessera keep the group of what their own client sent; of what they were sent
        they keep none."""
        try:
            group = self.retrieve_group(group_id)
        except EnclaveError:
            return None
        is_widened = group.type is GroupType.LEGACY and is_legacy_group_of(group.members, group_id)
        return group.members if is_widened else None

    def _unreachable(self, reason: str) -> EnclaveUnreachableError:
        """The error to raise; logged when the reason is another than before, since callers ask again and again."""
        if reason != self._trouble:
            self._trouble = reason
            log.warning(f"the transaction manager does not answer: {reason}")
        return EnclaveUnreachableError(f"the transaction manager does not answer: {reason}")

    def _post(self, path: str, body: dict[str, Any], kind: str = "application/json") -> Any:
        answer = self._call("POST", path, orjson.dumps(body), kind)
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise _malformed("JSON") from None

    def _call(self, method: str, path: str, body: bytes = b"", kind: str = "text/plain") -> bytes:
        headers = {"content-type": kind, "accept-encoding": "identity"}
        checks = {} if self._tls is None else {"trace": self._tls.trace}
        try:
            with self._client.stream(method, path, content=body, headers=headers, extensions=checks) as response:
                answer = bytearray()
                for part in response.iter_bytes():
                    answer += part
                    if len(answer) > MAX_CLIENT_ANSWER_BYTES:
                        raise _malformed(f"answer of at most {MAX_CLIENT_ANSWER_BYTES} bytes")
                status = response.status_code
        except EnclaveCertificateError as error:
            raise self._unreachable(str(error)) from None
        except (httpx.HTTPError, httpx.StreamError, ssl.SSLError, OSError) as error:
            raise self._unreachable(_reason(error)) from None
        self._trouble = ""
        if status != 200:
            raise EnclaveError(error_code(status, bytes(answer)))
        return bytes(answer)


def _reason(error: BaseException) -> str:
    """Its kind, and where TLS failed what TLS says: that names no content."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"{type(error).__name__}, {cause.reason}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def error_code(status: int, body: bytes) -> str:
    """Orion's code word in an answer that is not 200, or Tessera's text: mapped where Orion has a word for it, and else
    without the base64 in it."""
    try:
        answer = orjson.loads(body)
        if isinstance(answer, dict) and isinstance(answer.get("error"), str):
            return str(answer["error"])
    except orjson.JSONDecodeError:
        pass
    text = body[:1000].decode("utf-8", "replace").strip()
    for pattern, code in TESSERA_CODES:
        if pattern.fullmatch(text):
            return code
    if status == 413:
        return "InvalidPayload"
    if status == 410 and not text:
        return "NodePropagatingToAllPeers"
    return _BASE64.sub("", text).strip() or f"HTTP status {status}"


def _malformed(what: str) -> EnclaveUnreachableError:
    return EnclaveUnreachableError(f"the transaction manager answers what it should not: {what} was expected")


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
    if not isinstance(members, list) or kind not in ("LEGACY", "PANTHEON"):
        raise _malformed("group with members and type")
    return PrivacyGroup(
        _bytes(fields, "privacyGroupId"),
        str(fields.get("name") or ""),
        str(fields.get("description") or ""),
        GroupType(kind),
        tuple(_bytes({"member": member}, "member") for member in members),
    )
