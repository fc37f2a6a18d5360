"""Reads the requests that nearly every client of an API sends: a short POST that has arrived whole, with few and plain
headers.

`h11` needs ten times as long for such a request. This module must accept nothing that `h11` refuses or reads otherwise: a
request of any other form is left to `h11`.
"""

import re

from lacnode.http.http_messages import Request

MAX_PLAIN_HEAD_BYTES = 4_096
"""Bytes of a head that is read here. `h11` reads longer ones."""

MAX_PLAIN_HEADERS = 30
"""Headers of a head that is read here."""

_HEAD = re.compile(rb"POST (/[!-~]*) HTTP/1\.1\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[ \t!-~]*\r\n)+)\r\n")
_LENGTH = re.compile(r"[0-9]{1,9}")

_OTHER_WAYS = frozenset(("transfer-encoding", "expect", "upgrade", "trailer", "te"))
"""Headers that ask for another way of sending the body, or for another protocol."""


def ends_with_head(data: bytes) -> bool:
    """Return whether `data` ends with the empty line after the head of a request. Many clients send the body by itself."""
    return data.endswith(b"\r\n\r\n")


def parse_plain_request(data: bytes, client: str) -> Request | None:
    """Return the request from the address `client` if `data` is exactly one POST request with its whole body.

    None if `data` is anything else, such as a part of a request, two requests, a chunked body, a head of more than
    `MAX_PLAIN_HEAD_BYTES` or `MAX_PLAIN_HEADERS`, or a malformed request. `h11` must read it then. No error is raised.
    """
    match = _HEAD.match(data, 0, MAX_PLAIN_HEAD_BYTES)
    if match is None:
        return None
    headers = _headers(match[2])
    if headers is None or "host" not in headers or not _OTHER_WAYS.isdisjoint(headers):
        return None
    length = headers.get("content-length", "")
    if _LENGTH.fullmatch(length) is None or int(length) != len(data) - match.end():
        return None
    # Another value ends the connection, or names headers that concern the connection.
    if headers.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    return Request("POST", match[1].decode("ascii"), headers, data[match.end() :], client, is_plain=True)


def _headers(lines: bytes) -> dict[str, str] | None:
    """Return the headers of a head, None if there are many or one comes twice."""
    headers: dict[str, str] = {}
    found = lines.decode("ascii").split("\r\n")[:-1]
    if len(found) > MAX_PLAIN_HEADERS:
        return None
    for line in found:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" \t")
    return headers if len(headers) == len(found) else None


def encode_head(status: int, reason: str, headers: list[tuple[str, str]]) -> bytes:
    """Return the head of a response, as `h11` writes it, including the empty line at its end. The first line has
    `status` and `reason`, which may be empty. `headers` (name, value) are all that follow: none is added."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n".encode("latin-1")
