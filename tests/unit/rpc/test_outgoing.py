"""What waits for WebSocket clients: shared between them, bounded for one and for all of a port."""

import sys

import pytest

from lacnode.http.send_backlog import SendBacklog
from lacnode.rpc.notice import Listener, Notice
from lacnode.rpc.outgoing_queue import OutgoingQueue
from lacnode.rpc.websocket import text_frame

LIMIT = 2**30


class Connection:
    """A client's queue, and whether it was cut off."""

    def __init__(self, backlog: SendBacklog) -> None:
        self.is_cut = False
        self.queue = OutgoingQueue(backlog, self.cut)

    def cut(self) -> None:
        self.is_cut = True

    def notify(self, notice: Notice) -> None:
        if not self.queue.try_put(notice, text_frame):
            self.cut()

    async def sent(self) -> bytes:
        """Everything that waits, as the client gets it."""
        sent = b""
        while self.queue.size:
            sent += await self.queue.next_chunk()
            self.queue.mark_sent()
        return sent


def notice(listener: Listener, size: int = 100, numbers: tuple[int, ...] = (1,)) -> Notice:
    return Notice(listener, numbers, b'"%b"' % (b"x" * (size - 2)))


class TestNotice:
    def test_is_one_message_for_every_subscription(self) -> None:
        told = list(notice(Connection(SendBacklog(LIMIT)), 5, (1, 0x2A)).messages())
        expected = b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x%b","result":"xxx"}}'
        assert told == [expected % b"1", expected % b"2a"]

    @pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
    def test_is_framed_by_its_length(self, size: int) -> None:
        frame = text_frame(b"m" * size)
        assert frame[0] == 0x81
        head = {126: 4, 127: 10}.get(frame[1], 2)
        assert (int.from_bytes(frame[2:head]) if head > 2 else frame[1]) == size
        assert frame[head:] == b"m" * size


class TestQueue:
    async def test_keeps_the_order_of_replies_and_notices(self) -> None:
        connection = Connection(SendBacklog(LIMIT))
        connection.queue.put(text_frame(b"first"))
        connection.notify(notice(connection, 10, (1, 2)))
        connection.queue.put(text_frame(b"last"))
        sent = await connection.sent()
        assert sent.startswith(b"\x81\x05first")
        assert sent.endswith(b"\x81\x04last")
        assert sent.index(b'"0x1"') < sent.index(b'"0x2"')

    async def test_is_sent_in_chunks_and_wholly(self) -> None:
        connection = Connection(SendBacklog(LIMIT))
        connection.notify(notice(connection, 1_000, tuple(range(500))))
        first = await connection.queue.next_chunk()
        assert len(first) < 100_000
        connection.queue.mark_sent()
        assert (first + await connection.sent()).count(b"eth_subscription") == 500

    async def test_has_a_bound_that_a_single_notice_may_pass(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.outgoing_queue.CONNECTION_LIMIT_BYTES", 10_000)
        connection = Connection(SendBacklog(LIMIT))
        connection.notify(notice(connection, 20_000))
        assert not connection.is_cut
        connection.notify(notice(connection, 20))
        assert connection.is_cut

    def test_costs_little_for_what_others_are_told_as_well(self) -> None:
        result = b"x" * 1_000
        connections = [Connection(SendBacklog(LIMIT)) for _ in range(10)]
        for connection in connections:
            connection.notify(Notice(connection, tuple(range(100)), result))
        assert sys.getrefcount(result) > 10  # shared, where copies would take 10 * 100 * 1,000 bytes


class TestPort:
    def three(self) -> list[Connection]:
        backlog = SendBacklog(10_000)
        return [Connection(backlog) for _ in range(3)]

    @pytest.mark.parametrize("reply", [True, False])
    def test_cuts_off_the_client_with_the_most(self, reply: bool) -> None:
        small, large, late = self.three()
        small.notify(notice(small, 2_000))
        large.notify(notice(large, 6_000))
        if reply:
            late.queue.put(bytes(4_000))
        else:
            late.notify(notice(late, 4_000))
        assert [client.is_cut for client in (small, large, late)] == [False, True, False]

    async def test_counts_what_waits_and_not_what_was_sent(self) -> None:
        connections = self.three()
        for _ in range(5):
            for connection in connections:
                connection.notify(notice(connection, 3_000))
                await connection.sent()
        connections[0].notify(notice(connections[0], 6_000))
        connections[0].queue.discard()
        connections[1].notify(notice(connections[1], 6_000))
        assert not any(connection.is_cut for connection in connections)
