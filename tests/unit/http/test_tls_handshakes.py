"""The handshakes of a port share a part of one processor. A connection that leaves before its turn costs nothing."""

from typing import cast

import pytest
import trio
import trio.testing
from OpenSSL import SSL

from lacnode.http import tls_handshakes
from lacnode.http.tls_handshakes import BoundedHandshakes
from lacnode.http.tls_stream import TlsStream


async def test_connections_that_leave_before_their_turn_do_not_delay_the_next_one(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    made = 0

    async def handshake(stream: TlsStream) -> None:
        nonlocal made
        made += 1

    monkeypatch.setattr(TlsStream, "do_handshake", handshake)
    monkeypatch.setattr(tls_handshakes, "HANDSHAKE_COST_SECONDS", tls_handshakes.HANDSHAKES_BURST_SECONDS)
    handshakes = BoundedHandshakes(SSL.Context(SSL.TLS_SERVER_METHOD))
    stream = cast(trio.SocketStream, None)
    for _ in range(2):
        assert await handshakes.secure(stream, None) is not None
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(handshakes.secure, stream, None)
        await trio.testing.wait_all_tasks_blocked()
        assert made == 2
        nursery.cancel_scope.cancel()
    assert await handshakes.secure(stream, None) is not None
    assert made == 3
