"""Requests, responses, and the interface of the handler that answers them. Knows no socket and no path."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from lacnode.http.arriving_bodies import ArrivingBody

Headers = Mapping[str, str]
"""A request's headers, names in lower case."""

Header = tuple[str, str]
JSON: Header = ("content-type", "application/json")
HOST_REFUSED = b'{"message":"Host not authorized."}'


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `method` is as it was sent, such as `POST`. `target` is the path with its query, not decoded.
    `headers` have their names in lower case. `body` is empty until it has been read.

    `client` is the address that it comes from, as `client_address` returns it. `is_plain` is True if
    `plain_requests` has read it, which takes the event loop a quarter of the time, and False if `h11` has. It says
    nothing of TLS. `arriving` counts the body at the port, None if no port has received it.
    """

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    client: str = ""
    is_plain: bool = False
    arriving: ArrivingBody | None = field(default=None, compare=False, repr=False)

    def set_arriving(self, arriving: ArrivingBody) -> None:
        """Set what counts the body at the port. The connection does so before it asks a handler."""
        # A copy of the request would take a microsecond more for each call of JSON-RPC.
        object.__setattr__(self, "arriving", arriving)

    def waiting_for_turn(self) -> AbstractContextManager[None]:
        """Return a context in which the handler waits until it may answer this request. The port may drop the body
        meanwhile: the `with` block then ends early and without an error, and the answer must be `BUSY`."""
        return nullcontext() if self.arriving is None else self.arriving.waiting_for_turn()

    def take_body(self) -> bytes:
        """Return the body, and leave this request with an empty one: a second call returns nothing. The connection
        holds the request until it is answered, and would hold a long body in memory as long."""
        body = self.body
        object.__setattr__(self, "body", b"")
        return body


@dataclass(frozen=True, slots=True)
class Response:
    """A response with its status code. `headers` need no length and no `connection`: the sender adds them. With
    `close`, the connection ends after the response. `reason` is the text after the status code. If it is empty, none is
    sent."""

    status: int
    body: bytes = b""
    headers: tuple[Header, ...] = ()
    close: bool = False
    reason: str = ""


TOO_LARGE = Response(413, b"Request Entity Too Large", close=True)
TOO_SLOW = Response(408, close=True)
BUSY = Response(503, close=True)


class RequestHandler(Protocol):
    """Answers the HTTP requests of one port. It is an object with two methods, and not a function: `answer_head` is
    asked first and needs no body. `answer` is asked with the whole body if `answer_head` has returned None. A plain
    request (`Request.is_plain`) has its body already when `answer_head` is asked."""

    def answer_head(self, head: Request) -> Response | None:
        """Return the response to a request whose body need not be read, None if it must be: `answer` is called then.
        `head` has no body yet, or has it if the request was plain (`Request.is_plain`). If this raises an exception,
        the connection ends without a response."""

    async def answer(self, request: Request) -> Response:
        """Return the response to a request for which `answer_head` has returned None. `request` has its whole body. The
        body counts at the port until this returns. It is not dropped, except in `Request.waiting_for_turn`. If this
        raises an exception, the connection ends without a response."""
