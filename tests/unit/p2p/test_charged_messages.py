"""What a peer's messages cost it: also those that end its session, and also in its next session."""

import threading
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from lacnode.fair_share import FairShare
from lacnode.p2p.peer_requests import PendingRequests
from lacnode.p2p.peer_shares import PeerShares
from lacnode.p2p.rlpx import ConnectionFailedError, ConnectionTimeouts, RlpxConnection
from lacnode.p2p.session import LARGE_BODY_BYTES, _read, _serve
from lacnode.p2p.wire.capabilities import CapabilityTable
from lacnode.p2p.wire.eth_messages import BlockHeaders, GetBlockHeaders, NewBlockHashes
from lacnode.p2p.wire.frame import Frame, FrameError
from tests.support.ibft2_blocks import CAPABILITIES

TABLE = CapabilityTable.negotiate(CAPABILITIES, CAPABILITIES)
PEER = b"peer".ljust(64)
STEP_SECONDS = 5.0
"""Processor time that each measured piece of work seems to take."""


@pytest.fixture(autouse=True)
def _slow_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = count()
    clock = SimpleNamespace(thread_time=lambda: STEP_SECONDS * next(steps))
    monkeypatch.setattr("lacnode.p2p.session.time", clock)
    monkeypatch.setattr("lacnode.p2p.rlpx.time", clock)


class Session:
    """A session with the peer, whose messages are `frames`."""

    def __init__(self, shares: PeerShares, *frames: Frame, is_validator: bool = False) -> None:
        self.heard_at: list[float] = []
        self.server: Any = SimpleNamespace(answer=lambda request: BlockHeaders(1, ()))
        self._frames = list(frames)
        self._outbox: list[bytes] = []
        self._is_validator = is_validator
        self._shares = shares

    async def receive(self) -> Frame:
        await trio.lowlevel.checkpoint()
        if not self._frames:
            raise ConnectionFailedError("the other side hung up")
        return self._frames.pop(0)

    async def wait_for_answer_space(self) -> None:
        await trio.lowlevel.checkpoint()

    @property
    def parts(self) -> tuple[Any, Any]:
        connection = SimpleNamespace(
            receive=self.receive, accept_only=lambda accepts: None, pop_decoding_seconds=lambda: 0.0
        )
        peer = SimpleNamespace(
            id=PEER, requests=PendingRequests(68), description=SimpleNamespace(eth_version=68), end_session=None
        )
        outbox = SimpleNamespace(
            put=lambda message_id, body: self.heard_at.append(trio.current_time()),
            wait_for_answer_space=self.wait_for_answer_space,
        )
        handler = SimpleNamespace(
            reads_consensus_from=lambda peer: self._is_validator,
            block_hashes_received=lambda peer, blocks: self.heard_at.append(trio.current_time()),
        )
        network = SimpleNamespace(
            shares=self._shares,
            handler=handler,
            server=self.server,
            limits=ConnectionTimeouts(),
            counters=SimpleNamespace(message_received=lambda table, message_id: None),
            max_transaction_bytes=2**20,
        )
        return SimpleNamespace(peer=peer, table=TABLE, connection=connection, outbox=outbox), network

    async def read(self) -> None:
        """Read messages until the session ends."""
        requests, _ = trio.open_memory_channel[Any](1)
        with pytest.raises(ConnectionFailedError):
            await _read(*self.parts, requests)

    async def serve(self, *requests: GetBlockHeaders) -> None:
        """Answer `requests`."""
        into, out_of = trio.open_memory_channel[Any](len(requests))
        for request in requests:
            into.send_nowait(request)
        into.close()
        await _serve(*self.parts, out_of)


def announcement(body: bytes | None = None) -> Frame:
    message_id = TABLE.message_id("eth", NewBlockHashes.CODE)
    return Frame(message_id, NewBlockHashes(((bytes(32), 1),)).encode(68) if body is None else body)


def wait_of(share: FairShare) -> float:
    return share.wait_seconds(PEER, trio.current_time())


@pytest.mark.parametrize("length", [10, LARGE_BODY_BYTES], ids=["on the event loop", "in a thread"])
@pytest.mark.parametrize("is_validator", [True, False])
async def test_a_malformed_message_is_charged(
    autojump_clock: trio.testing.MockClock, length: int, is_validator: bool
) -> None:
    shares = PeerShares()
    await Session(shares, announcement(b"\xff" * length), is_validator=is_validator).read()
    assert wait_of(shares.reading_share_for(is_validator=is_validator)) > STEP_SECONDS


async def test_a_malformed_frame_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    def feed(data: bytes) -> Any:
        raise FrameError("snappy")

    codec: Any = SimpleNamespace(feed=feed)
    connection = RlpxConnection(None, codec, PEER, b"frame", ConnectionTimeouts())  # type: ignore[arg-type]
    with pytest.raises(ConnectionFailedError, match="snappy"):
        await connection.receive()
    assert connection.pop_decoding_seconds() == STEP_SECONDS


async def test_the_first_message_of_a_session_waits_for_the_share_that_an_earlier_one_used_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As a static node does, which is never denied."""
    shares = PeerShares()
    await Session(shares, announcement(b"\xff" * 10)).read()
    wait = wait_of(shares.reading_share_for(is_validator=False))
    assert wait > STEP_SECONDS
    due_at = trio.current_time() + wait
    again = Session(shares, announcement())
    await again.read()
    assert again.heard_at[0] >= due_at


async def test_the_first_answer_of_a_session_waits_for_the_share_that_an_earlier_one_used_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    shares = PeerShares()
    await Session(shares).serve(GetBlockHeaders(1, 0, 1))
    wait = wait_of(shares.serving_share_for(is_validator=False))
    assert wait > STEP_SECONDS
    due_at = trio.current_time() + wait
    again = Session(shares)
    await again.serve(GetBlockHeaders(2, 0, 1))
    assert again.heard_at[0] >= due_at


async def test_an_answer_is_charged_to_a_peer_that_leaves_while_it_is_made() -> None:
    shares, leaves, left = PeerShares(), trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    def answer(request: GetBlockHeaders) -> BlockHeaders:
        token.run_sync_soon(leaves.set)
        assert left.wait(60)
        return BlockHeaders(1, ())

    session = Session(shares)
    session.server = SimpleNamespace(answer=answer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.serve, GetBlockHeaders(1, 0, 1))
        await leaves.wait()
        nursery.cancel_scope.cancel()
        left.set()
    assert wait_of(shares.serving_share_for(is_validator=False)) > STEP_SECONDS
