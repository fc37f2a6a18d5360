"""`POST /login` gives a token for a name and a password, on both ports (Besu, `DefaultAuthenticationService`)."""

import orjson
import trio

from lacnode.http.http_messages import JSON, Header, Request, Response
from lacnode.rpc.host_cors_filter import HostAndCorsFilter
from lacnode.rpc.user import Authenticator, LoginRefusedError

MAX_LOGIN_BYTES = 16_384
"""Bytes of the body with the name and the password."""

MAX_LOGINS_AT_ONCE = 1
"""Number of logins that are checked at a time. bcrypt is slow on purpose, and consensus needs the processor too."""


NO_HTTP = b"Websocket endpoint can't handle HTTP requests"


class Login:
    """Answers logins by `authenticator`, `MAX_LOGINS_AT_ONCE` at a time. Every login is refused if `authenticator` is
    None."""

    def __init__(self, authenticator: Authenticator | None) -> None:
        self._authenticator = authenticator
        self._limiter = trio.CapacityLimiter(MAX_LOGINS_AT_ONCE)

    async def answer(self, request: Request, cors: list[Header]) -> Response:
        """Return the answer to a request to log in, whose body is JSON: status 200 with the token, or a refusal with
        status 400 or 401. `cors` are the headers to add. Method and path are not checked."""
        if self._authenticator is None:
            return Response(400, headers=tuple(cors), reason="Authentication not enabled")
        # A body that is too long is treated like one without a name. It is not parsed.
        body = request.body if len(request.body) <= MAX_LOGIN_BYTES else b""
        try:
            token = await trio.to_thread.run_sync(self._authenticator.log_in, body, limiter=self._limiter)
        except LoginRefusedError as refused:
            return Response(refused.status, refused.text.encode(), tuple(cors), reason=refused.reason)
        return Response(200, orjson.dumps({"token": token}), (JSON, *cors))


class LoginRoutes:
    """Answers HTTP requests on the WebSocket port (`RequestHandler`): it answers logins, and refuses every other
    request. `gate` decides by `Host` and `Origin` whether a request may pass."""

    def __init__(self, gate: HostAndCorsFilter, login: Login) -> None:
        self._gate = gate
        self._login = login

    def answer_head(self, head: Request) -> Response | None:
        """Return the refusal (status 403) of a request by its `Host` and `Origin`. None if it may pass."""
        refusal = self._gate.refusal(head.headers)
        return None if refusal is None else Response(refusal.status, refusal.body, (JSON,), close=True)

    async def answer(self, request: Request) -> Response:
        """Return the answer to `POST /login`: a token, or a refusal. Every other request gets the status 400."""
        if request.method == "POST" and request.target.partition("?")[0] == "/login":
            return await self._login.answer(request, [])
        return Response(400, NO_HTTP, close=True)
