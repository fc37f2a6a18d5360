"""`POST /login`: a token for a name and a password, on both ports (Besu, `DefaultAuthenticationService`)."""

import orjson
import trio

from lacnode.http.messages import JSON, Header, Request, Response
from lacnode.rpc.access import Gate
from lacnode.rpc.user import Authenticator, LoginRefused

MAX_BODY = 16_384
"""Bytes of a name and a password."""

AT_ONCE = 1
"""Logins looked at together: comparing a password is slow on purpose, and consensus needs the processor too."""


NO_HTTP = b"Websocket endpoint can't handle HTTP requests"


class Login:
    """Answers logins by `authenticator`; there are none where it is None."""

    def __init__(self, authenticator: Authenticator | None) -> None:
        self._authenticator = authenticator
        self._limiter = trio.CapacityLimiter(AT_ONCE)

    async def answer(self, request: Request, cors: list[Header]) -> Response:
        """The answer to a request to log in."""
        if self._authenticator is None:
            return Response(400, headers=tuple(cors), reason="Authentication not enabled")
        body = request.body if len(request.body) <= MAX_BODY else b""
        try:
            token = await trio.to_thread.run_sync(self._authenticator.log_in, body, limiter=self._limiter)
        except LoginRefused as refused:
            return Response(refused.status, refused.text.encode(), tuple(cors), reason=refused.reason)
        return Response(200, orjson.dumps({"token": token}), (JSON, *cors))


class LoginRoutes:
    """What the WebSocket port answers to HTTP: logins, and that it takes nothing else."""

    def __init__(self, gate: Gate, login: Login) -> None:
        self._gate = gate
        self._login = login

    def early(self, head: Request) -> Response | None:
        """See `http.messages.Answering`."""
        refusal = self._gate.refusal(head.headers)
        return None if refusal is None else Response(refusal.status, refusal.body, (JSON,), close=True)

    async def answer(self, request: Request) -> Response:
        """See `http.messages.Answering`."""
        if request.method == "POST" and request.target.partition("?")[0] == "/login":
            return await self._login.answer(request, [])
        return Response(400, NO_HTTP, close=True)
