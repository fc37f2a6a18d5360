"""Requests, responses, and who answers them. Knows no socket and no path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Headers = Mapping[str, str]
"""A request's headers, names in lower case."""

Header = tuple[str, str]
JSON: Header = ("content-type", "application/json")
HOST_REFUSED = b'{"message":"Host not authorized."}'


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `headers` have their names in lower case; `body` is empty until it has been read. `client` is the address
    that it comes from, as `listening.client_of` names it."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    client: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back. `close` if nothing more is read from this client."""

    status: int
    body: bytes = b""
    headers: tuple[Header, ...] = ()
    close: bool = False
    reason: str = ""


TOO_LARGE = Response(413, b"Request Entity Too Large", close=True)
TOO_SLOW = Response(408, close=True)
BUSY = Response(503, close=True)


class RequestHandler(Protocol):
    """What a port says to requests."""

    def answer_head(self, head: Request) -> Response | None:
        """The answer to a request whose body need not be read, None if it must be."""

    async def answer(self, request: Request) -> Response:
        """The answer to a request that was not answered early."""
