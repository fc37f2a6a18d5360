"""Answers of other managers that would keep the event loop busy: many small parts, and much that is no content."""

from functools import partial

import pytest
import trio

from lacnode.privacy.manager.address_policy import AddressPolicy
from lacnode.privacy.manager.peer_paths import PARTY_INFO_PATH
from lacnode.privacy.service.peer_client import HttpPeerSender

OK, INTERIM = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"


def with_length(body: bytes, more: bytes = b"") -> bytes:
    return OK + more + b"content-length: %d\r\n\r\n" % len(body) + body


def in_chunks(body: bytes, size: int, end: bytes = b"\r\n") -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return OK + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + end


async def read(answer: bytes) -> bytes | None:
    """What is taken of `answer`, which another manager gives to a question. None: nothing."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        try:
            await stream.send_all(answer)
            await stream.receive_some()
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        sender = HttpPeerSender(None, AddressPolicy([url]))
        await nursery.start(sender.run)
        found = (await sender.post_in_event_loop(PARTY_INFO_PATH, {url: b"question"}))[url]
        nursery.cancel_scope.cancel()
    return found


LARGE, SMALL = bytes(range(256)) * 1_000, b"a" * 3_000


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (with_length(LARGE), LARGE),
        (in_chunks(LARGE, 1_000), LARGE),
        (in_chunks(SMALL[:200], 1), SMALL[:200]),
        (2 * INTERIM + with_length(SMALL, b"x: y\r\n" * 100), SMALL),
    ],
    ids=["length", "chunks", "few small chunks", "interim"],
)
async def test_of_an_honest_manager_are_read(answer: bytes, body: bytes) -> None:
    assert await read(answer) == body


@pytest.mark.parametrize(
    "answer",
    [
        in_chunks(SMALL, 1),
        3_000 * INTERIM + with_length(SMALL),
        with_length(SMALL, b"a:b\r\n" * 9_000),
        in_chunks(SMALL, 1_000, b"a:b\r\n" * 9_000 + b"\r\n"),
    ],
    ids=["small chunks", "interim", "head", "trailer"],
)
async def test_with_little_content_are_given_up(answer: bytes) -> None:
    """One answer of 64 kB in chunks of a byte took a quarter of a second without a turn for another task."""
    assert await read(answer) is None
