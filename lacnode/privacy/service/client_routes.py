"""Orion's client API, by path. A client that may use it can read every payload that this manager can read."""

import hmac
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

import orjson
import trio

from lacnode.http.http_messages import JSON, Request, Response
from lacnode.privacy.keys import KEY_BYTES, decode_public_key, from_base64, to_base64
from lacnode.privacy.manager.address_policy import Network
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.mandatory_recipient import add_mandatory_recipient
from lacnode.privacy.service.error_responses import error_response, store_failure_response
from lacnode.privacy.service.json_request_body import JsonRequestBody, group_json
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError

TEXT = ("content-type", "text/plain")
BINARY = ("content-type", "application/octet-stream")
ORION = "application/vnd.orion.v1+json"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

Call = Callable[[Request], Response]


class ClientRoutes:
    """The request handler of the client API.

    `version` is the answer of `/version`. `limiter` bounds the worker threads. Without a `token` no client is asked for
    one. Without `any_host`, only the loopback names in `LOOPBACK` are accepted in `Host`. This protects from DNS
    rebinding: a web page cannot make a browser call this API under another name. `networks` are the networks where
    clients must be, empty for any.
    """

    def __init__(
        self,
        manager: LocalTransactionManager,
        version: str,
        limiter: trio.CapacityLimiter,
        token: str | None = None,
        any_host: bool = False,
        networks: Sequence[Network] = (),
    ) -> None:
        self._networks = networks
        self._manager = manager
        self._version = version
        self._limiter = limiter
        self._token = token
        self._any_host = any_host
        self._posts: dict[tuple[str, str], Call] = {
            ("/send", JSON[1]): self._send,
            ("/sendraw", BINARY[1]): self._send_raw,
            ("/receive", JSON[1]): self._receive,
            ("/receive", ORION): self._receive,
            ("/receiveraw", BINARY[1]): self._receive_raw,
            ("/createPrivacyGroup", JSON[1]): self._create,
            ("/deletePrivacyGroup", JSON[1]): self._delete,
            ("/findPrivacyGroup", JSON[1]): self._find,
            ("/retrievePrivacyGroup", JSON[1]): self._retrieve,
        }
        self._gets: dict[str, Call] = {
            "/upcheck": lambda request: _text("I'm up!"),
            "/version": lambda request: _text(self._version),
            "/peercount": lambda request: _text(str(len(set(self._manager.known_urls.values())))),
            "/knownnodes": lambda request: _json(self._known_nodes()),
        }

    def answer_head(self, head: Request) -> Response | None:
        """Return the refusal of a request before its body is read: status 403 for a wrong network or `Host`, 401
        without the token, 404 for an unknown method, path or content type. None if the request is allowed."""
        if self._networks and not _is_within(head.client, self._networks):
            return Response(403, close=True)
        # The port is cut off. An IPv6 address without a port is left whole by the second comparison below.
        host = head.headers.get("host", "").rpartition(":")[0] or head.headers.get("host", "")
        if not self._any_host and host not in LOOPBACK and head.headers.get("host") not in LOOPBACK:
            return Response(403, close=True)
        if self._token is not None and not _authorized(head.headers.get("authorization", ""), self._token):
            return Response(401, close=True)
        return None if self._call(head) is not None else Response(404, close=True)

    async def answer(self, request: Request) -> Response:
        """Return the response to a request that `answer_head` has allowed. A worker thread computes it. Errors of the
        manager become responses with Orion's error code."""
        call = self._call(request)
        if call is None:
            return Response(404)
        try:
            return await trio.to_thread.run_sync(call, request, limiter=self._limiter)
        except EnclaveError as error:
            # As in Orion, only reads answer 404. A write that finds no group is an error 500.
            return error_response(error, 404 if call in (self._receive, self._receive_raw, self._retrieve) else 500)
        except EnclaveUnreachableError:
            return store_failure_response()

    def _call(self, request: Request) -> Call | None:
        path = request.target.partition("?")[0]
        if request.method == "GET":
            return self._gets.get(path)
        # The type is a part of the route: the same path takes JSON, or Orion's own type.
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        return self._posts.get((path, kind)) if request.method == "POST" else None

    # -- payloads ----------------------------------------------------------------------------------------------------

    def _send(self, request: Request) -> Response:
        body = JsonRequestBody(request.body, ("payload", "from", "to", "privacyGroupId"))
        # Orion's rule: a group id wins over recipients.
        sender, recipients = body.key("from"), body.keys("to")
        if body.has("privacyGroupId"):
            group = body.id("privacyGroupId", "PrivacyGroupNotFound")
            key = self._manager.send_to_group(body.data("payload"), sender, group)
        else:
            if not recipients and sender is None:
                # Orion refuses a payload without recipients and sender. It would belong to no group.
                raise EnclaveError("InvalidPayload")
            # Without recipients the payload is for the sender itself.
            key = self._manager.send(body.data("payload"), sender, recipients or [sender] if sender else recipients)
        return _json({"key": to_base64(key)})

    def _send_raw(self, request: Request) -> Response:
        sender = request.headers.get("c11n-from")
        # Orion's headers for the raw form. Several recipients are separated by commas.
        recipients = [part.strip() for part in request.headers.get("c11n-to", "").split(",") if part.strip()]
        key = self._manager.send(
            request.body,
            decode_public_key(sender) if sender else None,
            [decode_public_key(recipient) for recipient in recipients],
        )
        return _text(to_base64(key))

    def _receive(self, request: Request) -> Response:
        body = JsonRequestBody(request.body, ("key", "to"))
        got = self._manager.receive(body.id("key", "EnclavePayloadNotFound"), body.key("to"))
        return _json(
            {
                "payload": to_base64(got.payload),
                "privacyGroupId": to_base64(got.group_id),
                "senderKey": to_base64(got.sender),
            }
        )

    def _receive_raw(self, request: Request) -> Response:
        try:
            key = from_base64(request.headers.get("c11n-key"), KEY_BYTES)
        except ValueError:
            raise EnclaveError("EnclavePayloadNotFound") from None
        return Response(200, self._manager.receive(key).payload, (BINARY,))

    # -- groups ------------------------------------------------------------------------------------------------------

    def _create(self, request: Request) -> Response:
        names = ("addresses", "from", "name", "description", "seed", "mandatoryRecipient")
        body = JsonRequestBody(request.body, names)
        # Orion has this error code only when a field is missing. A wrong type is `ObjectJsonDeserialization`.
        if not body.has("addresses") or not body.has("from"):
            raise EnclaveError("CreateGroupInvalidParams")
        members, description = tuple(body.keys("addresses")), body.text("description")
        supervisor = body.key("mandatoryRecipient")
        if supervisor is not None:
            # The supervisor becomes a member before the id is computed, so that all managers get the same id.
            members, description = add_mandatory_recipient(members, description, supervisor)
        seed = body.data("seed") if body.has("seed") else None
        group = self._manager.create_group(members, body.key("from"), body.text("name"), description, seed)
        return _json(group_json(group))

    def _delete(self, request: Request) -> Response:
        body = JsonRequestBody(request.body, ("privacyGroupId", "from"))
        group = body.id("privacyGroupId", "PrivacyGroupNotDeleted")
        return _json(to_base64(self._manager.delete_group(group, body.key("from"))))

    def _find(self, request: Request) -> Response:
        body = JsonRequestBody(request.body, ("addresses",))
        return _json([group_json(group) for group in self._manager.find_groups(body.keys("addresses"))])

    def _retrieve(self, request: Request) -> Response:
        body = JsonRequestBody(request.body, ("privacyGroupId",))
        if not body.has("privacyGroupId"):
            # Orion answers 400 here, and 404 for an unknown group.
            return Response(400, b'{"error":"PrivacyGroupNotFound"}', (JSON,))
        return _json(group_json(self._manager.retrieve_group(body.id("privacyGroupId", "PrivacyGroupNotFound"))))

    def _known_nodes(self) -> list[dict[str, str]]:
        # Orion lists the keys of other managers alone.
        own = set(self._manager.keys.public_keys)
        known = self._manager.known_urls
        return [{"publicKey": to_base64(key), "nodeUrl": url} for key, url in known.items() if key not in own]


def _is_within(client: str, networks: Sequence[Network]) -> bool:
    try:
        address = ip_address(client)
    except ValueError:
        return False
    return any(address in network for network in networks if address.version == network.version)


def _authorized(header: str, token: str) -> bool:
    # The comparison takes the same time for any header. Its duration must not show how much of a guess was right.
    return hmac.compare_digest(header.encode("latin-1"), f"Bearer {token}".encode())


def _json(value: Any) -> Response:
    return Response(200, orjson.dumps(value), (JSON,))


def _text(value: str) -> Response:
    return Response(200, value.encode(), (TEXT,))
