"""Bodies that arrive at a port: bounded together, and the address that holds most gives way."""

from contextlib import ExitStack

import pytest
import trio
import trio.testing

from lacnode.http.arriving_bodies import ArrivingBodies
from lacnode.http.connection_server import ConnectionServer, bound_port, open_listeners
from lacnode.http.http_connection import HttpConnection
from lacnode.http.http_messages import BUSY, Request, Response


class Echoes:
    def answer_head(self, head: Request) -> Response | None:
        return None

    async def answer(self, request: Request) -> Response:
        return Response(200, request.body)


class Waits(Echoes):
    """The turn of a request for `/wait` does not come."""

    async def answer(self, request: Request) -> Response:
        if request.target == "/wait":
            with request.waiting_for_turn():
                await trio.Event().wait()
            return BUSY
        return await super().answer(request)


def head(length: int, path: str = "/") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode()


class TestArrivingBodies:
    async def test_the_largest_of_the_address_that_holds_most_gives_way(self) -> None:
        arriving = ArrivingBodies(100)
        with ExitStack() as stack:
            small, large = (stack.enter_context(arriving.track_body("attacker")) for _ in range(2))
            honest = stack.enter_context(arriving.track_body("member"))
            arriving.add_bytes(small, 20)
            arriving.add_bytes(large, 30)
            arriving.add_bytes(honest, 45)
            assert not large.scope.cancel_called
            arriving.add_bytes(small, 6)
            assert [body.scope.cancel_called for body in (small, large, honest)] == [False, True, False]

    async def test_no_second_body_gives_way_for_the_same_bytes(self) -> None:
        """The task of the first one has not had its turn yet."""
        arriving = ArrivingBodies(100)
        with arriving.track_body("attacker") as greedy, arriving.track_body("member") as modest:
            arriving.add_bytes(greedy, 90)
            arriving.add_bytes(modest, 20)
            arriving.add_bytes(modest, 20)
            assert greedy.scope.cancel_called
            assert not modest.scope.cancel_called
        with arriving.track_body("member") as modest:
            arriving.add_bytes(modest, 100)
            assert not modest.scope.cancel_called
            arriving.add_bytes(modest, 1)
            assert modest.scope.cancel_called

    async def test_what_is_complete_is_answered(self) -> None:
        arriving = ArrivingBodies(100)
        with arriving.track_body("a") as complete, arriving.track_body("b") as other:
            arriving.add_bytes(complete, 90)
            complete.is_complete = True
            arriving.add_bytes(other, 20)
            assert not complete.scope.cancel_called
            assert other.scope.cancel_called

    async def test_what_is_complete_and_waits_for_its_turn_gives_way(self) -> None:
        arriving = ArrivingBodies(100)
        with arriving.track_body("a") as complete, arriving.track_body("b") as other:
            arriving.add_bytes(complete, 90)
            complete.is_complete = True
            has_turn = False
            with complete.waiting_for_turn():
                arriving.add_bytes(other, 20)
                await trio.Event().wait()
                has_turn = True
            assert not has_turn
            assert not other.scope.cancel_called

    async def test_what_has_had_to_wait_for_its_turn_is_answered(self) -> None:
        arriving = ArrivingBodies(100)
        with arriving.track_body("a") as complete, arriving.track_body("b") as other:
            arriving.add_bytes(complete, 90)
            with complete.waiting_for_turn():
                await trio.lowlevel.checkpoint()
            arriving.add_bytes(other, 20)
            assert not complete.scope.cancel_called
            assert other.scope.cancel_called

    async def test_a_connection_without_a_message_and_a_small_message_are_kept(self) -> None:
        """Attack: complete messages that wait for their answers fill the port of WebSocket."""
        arriving = ArrivingBodies(100, small_body_bytes=10)
        with ExitStack() as stack:
            waiting, idle, small, large = (stack.enter_context(arriving.track_body(name)) for name in "aabc")
            arriving.add_bytes(waiting, 99)
            waiting.is_complete = True
            arriving.add_bytes(small, 10)
            assert not idle.scope.cancel_called
            assert not small.scope.cancel_called
            arriving.add_bytes(large, 11)
            assert large.scope.cancel_called

    async def test_what_has_ended_does_not_count(self) -> None:
        arriving = ArrivingBodies(100)
        with arriving.track_body("a") as body:
            arriving.add_bytes(body, 90)
        with arriving.track_body("a") as body:
            arriving.add_bytes(body, 90)
            assert not body.scope.cancel_called


class TestConversation:
    async def test_a_request_that_is_given_up_is_told(self) -> None:
        arriving = ArrivingBodies(1_000)
        async with trio.open_nursery() as nursery:
            greedy, one = trio.testing.memory_stream_pair()
            modest, other = trio.testing.memory_stream_pair()
            nursery.start_soon(HttpConnection(one, Echoes(), 2_000, None, arriving, "greedy").run)
            nursery.start_soon(HttpConnection(other, Echoes(), 2_000, None, arriving, "modest").run)
            await greedy.send_all(head(990) + bytes(980))
            await trio.testing.wait_all_tasks_blocked()
            await modest.send_all(head(100) + bytes(100))
            assert bytes(await modest.receive_some()).startswith(b"HTTP/1.1 200")
            assert bytes(await greedy.receive_some()).startswith(b"HTTP/1.1 503")
            nursery.cancel_scope.cancel()

    @pytest.mark.parametrize("first_part", [1, 2_000], ids=["by h11", "plain"])
    async def test_a_whole_request_that_waits_for_its_turn_is_told_too(self, first_part: int) -> None:
        """Attack: whole requests fill the port while they wait. One that arrives would be the only one to give up."""
        arriving = ArrivingBodies(1_000)
        async with trio.open_nursery() as nursery:
            greedy, one = trio.testing.memory_stream_pair()
            modest, other = trio.testing.memory_stream_pair()
            nursery.start_soon(HttpConnection(one, Waits(), 2_000, None, arriving, "greedy").run)
            nursery.start_soon(HttpConnection(other, Waits(), 2_000, None, arriving, "modest").run)
            whole = head(990, "/wait") + bytes(990)
            await greedy.send_all(whole[:first_part])
            await trio.testing.wait_all_tasks_blocked()
            await greedy.send_all(whole[first_part:])
            await trio.testing.wait_all_tasks_blocked()
            await modest.send_all(head(100) + bytes(50))
            await trio.testing.wait_all_tasks_blocked()
            await modest.send_all(bytes(50))
            with trio.fail_after(10):
                assert bytes(await modest.receive_some()).startswith(b"HTTP/1.1 200")
                assert bytes(await greedy.receive_some()).startswith(b"HTTP/1.1 503")
            nursery.cancel_scope.cancel()

    async def test_the_bound_of_a_body_may_depend_on_the_path(self) -> None:
        def largest(head: Request) -> int:
            return 10 if head.target == "/small" else 100

        for path, status in (("/small", b"413"), ("/large", b"200")):
            async with trio.open_nursery() as nursery:
                client, server = trio.testing.memory_stream_pair()
                nursery.start_soon(HttpConnection(server, Echoes(), largest).run)
                await client.send_all(head(11, path) + bytes(11))
                assert bytes(await client.receive_some()).split()[1] == status
                nursery.cancel_scope.cancel()

    @pytest.mark.parametrize("sent", [b"POST / HTTP/1.1\r\nHost: a\r\n", head(100) + b"x"], ids=["head", "body"])
    async def test_a_request_that_does_not_go_on_is_cut(self, sent: bytes, autojump_clock: object) -> None:
        async with trio.open_nursery() as nursery:
            client, server = trio.testing.memory_stream_pair()
            nursery.start_soon(HttpConnection(server, Echoes(), 1_000).run)
            begin = trio.current_time()
            await client.send_all(sent)
            assert bytes(await client.receive_some()).split()[1] == b"408"
            assert trio.current_time() - begin < 20
            nursery.cancel_scope.cancel()


async def test_an_address_loses_its_oldest_connection_for_a_new_one() -> None:
    """Half-sent requests of one address close the port neither to others nor to itself."""

    async def handle_connection(stream: trio.SocketStream) -> None:
        await HttpConnection(stream, Echoes(), 1_000).run()

    async with trio.open_nursery() as nursery:
        listeners = await open_listeners("127.0.0.1", 0)
        nursery.start_soon(ConnectionServer("test", 100, handle_connection, 4).serve, listeners)
        slow = []
        for _ in range(12):
            slow.append(await trio.open_tcp_stream("127.0.0.1", bound_port(listeners)))
            await slow[-1].send_all(head(100))
        client = await trio.open_tcp_stream("127.0.0.1", bound_port(listeners))
        await client.send_all(head(2) + b"hi")
        with trio.fail_after(10):
            assert bytes(await client.receive_some()).startswith(b"HTTP/1.1 200")
            for stream in slow[:8]:
                with pytest.raises((trio.BrokenResourceError, AssertionError)):
                    assert await stream.receive_some() != b""
        nursery.cancel_scope.cancel()
    for resource in (*slow, client, *listeners):
        await trio.aclose_forcefully(resource)
