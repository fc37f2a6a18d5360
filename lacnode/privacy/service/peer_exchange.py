"""One HTTP request to another manager, and its answer, on an open connection.

Nearly every answer is short and has a length and few plain headers. `h11` takes ten times as long for it. This module must
not read an answer in another way than `h11` does: an answer of any other form is left to `h11`.

`h11` reads what has arrived without a pause. A hostile manager can send thousands of interim responses, header lines or
chunks at once, and the event loop of the node would stand still for as long as it takes to read them. So such answers are
read in small portions, and few of their bytes may be other than content.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

import h11
import trio

from lacnode.privacy.manager.peer_sender import PeerCall

SUCCESSES = (200, 201)
DEFAULT_PORTS = {"http": 80, "https": 443}

MAX_PLAIN_HEAD_BYTES = 4_096
"""The largest head of an answer that is read here. `h11` reads longer ones."""

BODY_READ_BYTES, READ_BYTES = 65_536, 8_192
"""The largest size of one portion: of a body with a length, and of all else. To read one of the latter takes up to 20 ms, if
it consists of the shortest interim responses."""

MAX_OVERHEAD_BYTES = 32_768
"""The largest number of bytes of an answer that are not content: heads, sizes of chunks, and what was not read yet."""

CONTENT_PER_OVERHEAD_BYTE = 32
"""So many bytes of content allow one more byte that is none: a long answer in chunks has many sizes."""

FREE_PIECES, BYTES_PER_PIECE = 256, 256
"""An answer may come in the free pieces, and in one more for this many bytes. To read a piece takes 20 microseconds."""

PIECES_AT_ONCE = 64
"""The pieces that are read before other tasks have a turn."""

UNCOMPRESSED = ("accept-encoding", "identity")
"""No compression. A small compressed answer of a stranger could become very large."""

_HEAD_END = b"\r\n\r\n"
_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [\t -~]*)?\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~]*\r\n)*)\r\n")
_LENGTH = re.compile(r"[0-9]{1,9}")
_HOST = re.compile(r"[!-.0-~]+")


class AnswerError(Exception):
    """The answer of another manager is malformed, is cut off, is too long, or comes in too many pieces."""


@dataclass(frozen=True, slots=True)
class PeerOrigin:
    """The place of a manager's server. `host` is a name or an address without brackets."""

    is_tls: bool
    host: str
    port: int

    @property
    def name(self) -> str:
        """The name of the server in the list of fingerprints: `host:port`, as in Orion."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """The answer of a manager. `body` is empty if `status` is not one of `SUCCESSES`: it was not read then.
    `keeps_connection` says that another request may follow on the connection. `address` is the other end of the
    connection, as `client_address` returns it. It is empty until `PeerConnections` has set it."""

    status: int
    body: bytes
    keeps_connection: bool
    address: str = ""


# A push goes to the same few URLs again and again.
@lru_cache(1_024)
def parse_origin(url: str) -> PeerOrigin:
    """Return the origin of `url`. The path, a user name and a password are left out. ValueError if it is no URL of http
    or https, if its host has other characters than visible ASCII, or if its port is not valid."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    # A stranger may have announced the URL. Its host is written into the head of the request.
    if parts.scheme not in DEFAULT_PORTS or _HOST.fullmatch(host) is None:
        raise ValueError(f"a URL of http or https was expected, found {url!r}")
    return PeerOrigin(parts.scheme == "https", host, parts.port or DEFAULT_PORTS[parts.scheme])


def encode_request(call: PeerCall, origin: PeerOrigin) -> bytes:
    """Return the bytes of the HTTP/1.1 request that makes `call` at `origin`. UnicodeEncodeError (a ValueError) if the
    path or a header is not ASCII."""
    headers = [("Host", _host_header(origin)), *call.headers, UNCOMPRESSED]
    if call.method != "GET":
        headers.append(("Content-Length", str(len(call.body))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{call.method} {call.path} HTTP/1.1\r\n{lines}\r\n".encode("ascii") + call.body


def _host_header(origin: PeerOrigin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    # The port is left out if it is that of the scheme, as RFC 9110 says. A proxy before a manager may look at it.
    return host if origin.port == DEFAULT_PORTS["https" if origin.is_tls else "http"] else f"{host}:{origin.port}"


async def exchange(stream: trio.abc.Stream, request: bytes, max_answer_bytes: int) -> PeerAnswer:
    """Send `request` on `stream` and return the answer. The caller bounds the time, and closes the stream after an
    error or a cancellation.

    AnswerError if the answer is malformed, ends early, comes in too many small pieces, has a body of more than
    `max_answer_bytes` bytes, or too many bytes beside the body. trio.BrokenResourceError if the connection breaks.
    """
    await stream.send_all(request)
    data = bytearray()
    while _HEAD_END not in data and len(data) <= MAX_PLAIN_HEAD_BYTES:
        data += await _receive(stream, READ_BYTES)
    head = _parse_plain_head(data)
    if head is None:
        return await _H11Reader(stream, bytes(data), max_answer_bytes).read()
    if head.status not in SUCCESSES:
        return PeerAnswer(head.status, b"", head.keeps_connection and len(data) == head.end)
    if head.end - head.begin > max_answer_bytes:
        raise AnswerError("it is too long")
    while len(data) < head.end:
        data += await _receive(stream, BODY_READ_BYTES)
    # More bytes than the length belong to no request. What they mean is not known.
    keeps = head.keeps_connection and len(data) == head.end
    return PeerAnswer(head.status, bytes(data[head.begin : head.end]), keeps)


async def _receive(stream: trio.abc.Stream, most: int) -> bytes:
    data = bytes(await stream.receive_some(most))
    if not data:
        raise AnswerError("it ends early")
    return data


@dataclass(frozen=True, slots=True)
class _PlainHead:
    """The head of a plain answer. Its body is from `begin` to `end` in the bytes of the answer."""

    status: int
    begin: int
    end: int
    keeps_connection: bool


def _parse_plain_head(data: bytearray) -> _PlainHead | None:
    """Return the head at the start of `data`. None if it is not whole or not plain: `h11` reads it then."""
    match = _HEAD.match(data, 0, MAX_PLAIN_HEAD_BYTES)
    if match is None:
        return None
    headers: dict[str, str] = {}
    lines = match[2].decode("ascii").split("\r\n")[:-1]
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" \t")
    length = headers.get("content-length", "")
    # A header that comes twice, or another way of sending the body. Statuses without a body are among them.
    if len(headers) != len(lines) or "transfer-encoding" in headers or _LENGTH.fullmatch(length) is None:
        return None
    keeps = headers.get("connection", "keep-alive").lower() == "keep-alive"
    return _PlainHead(int(match[1]), match.end(), match.end() + int(length), keeps)


class _H11Reader:
    """Reads one answer by `h11`. `data` are its first bytes."""

    def __init__(self, stream: trio.abc.Stream, data: bytes, max_answer_bytes: int) -> None:
        self._stream = stream
        self._max_answer_bytes = max_answer_bytes
        self._body = bytearray()
        self._pieces = 0
        self._overhead_bytes = len(data)
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_OVERHEAD_BYTES)
        # `h11` reads an answer only after a request. The request was sent already, so these bytes are not.
        self._http.send(h11.Request(method="GET", target="/", headers=[("Host", "sent")]))
        self._http.send(h11.EndOfMessage())
        self._http.receive_data(data)

    async def read(self) -> PeerAnswer:
        """Return the answer. AnswerError if it is malformed, too long, or in too many pieces."""
        status = 0
        try:
            while not isinstance(event := self._http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    await self._receive()
                elif isinstance(event, h11.Response):
                    status = event.status_code
                    # The body of an error is not read.
                    if status not in SUCCESSES:
                        return PeerAnswer(status, b"", keeps_connection=False)
                elif isinstance(event, h11.Data):
                    await self._add(event.data)
                elif not isinstance(event, h11.InformationalResponse):
                    raise AnswerError("it is no answer")
        except h11.RemoteProtocolError as error:
            raise AnswerError(str(error)) from None
        keeps = self._http.their_state is h11.DONE and not self._http.trailing_data[0]
        return PeerAnswer(status, bytes(self._body), keeps)

    async def _receive(self) -> None:
        # The end of the connection may be the end of the body. `h11` knows.
        data = bytes(await self._stream.receive_some(READ_BYTES))
        self._overhead_bytes += len(data)
        if self._overhead_bytes > MAX_OVERHEAD_BYTES:
            raise AnswerError("it has too many bytes that are not content")
        self._http.receive_data(data)

    async def _add(self, data: bytes) -> None:
        self._body += data
        self._pieces += 1
        self._overhead_bytes = max(0, self._overhead_bytes - len(data) - len(data) // CONTENT_PER_OVERHEAD_BYTE)
        if len(self._body) > self._max_answer_bytes:
            raise AnswerError("it is too long")
        if self._pieces > FREE_PIECES + len(self._body) // BYTES_PER_PIECE:
            raise AnswerError("it comes in too many pieces")
        # Chunks that are here already are read without a pause. Other tasks of the node must get their turn.
        if self._pieces % PIECES_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
