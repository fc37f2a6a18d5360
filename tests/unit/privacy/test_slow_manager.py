"""A manager behind `--privacy-url` that keeps a call going without end. The node's private worker waits for its calls."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from lacnode.privacy.service import http_manager
from lacnode.privacy.service.http_manager import HttpTransactionManager
from lacnode.privacy.service.timed_transport import TimedTransport
from lacnode.privacy.transaction_manager import EnclaveUnreachableError

DEADLINE = 20.0
OK = b"HTTP/1.1 200 OK\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


class Talk:
    """One connection to the server. `is_over` is set when the test is at its end."""

    def __init__(self, connection: socket.socket, is_over: threading.Event) -> None:
        self.connection = connection
        self.is_over = is_over

    def repeat(self, piece: bytes, pause_seconds: float = 0.0) -> None:
        """Send `piece` until the client hangs up."""
        while not self.is_over.wait(pause_seconds):
            self.connection.sendall(piece)


@contextmanager
def serving(answer: Callable[[Talk], None]) -> Iterator[str]:
    """A server of one connection, which `answer` makes use of, and its URL."""
    is_over = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            answer(Talk(connection, is_over))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            is_over.set()
            thread.join(DEADLINE)
            assert not thread.is_alive()


def refusal(url: str, call: Callable[[HttpTransactionManager], object]) -> str:
    """The error with which `call` ends, within the deadline."""
    found: list[str] = []

    def run() -> None:
        with HttpTransactionManager(url) as manager:
            try:
                call(manager)
            except EnclaveUnreachableError as error:
                found.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert found, f"the call has no end within {DEADLINE:g} s"
    return found[0]


def receive(manager: HttpTransactionManager) -> object:
    return manager.receive(bytes(32))


@pytest.fixture
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_manager, "WHOLE_CALL_SECONDS", 0.2)


@pytest.mark.usefixtures("short_calls")
@pytest.mark.parametrize(
    ("head", "piece"),
    [(b"", INTERIM), (OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n")],
    ids=["interim answers", "bytes"],
)
def test_an_answer_that_comes_slowly_without_end_is_given_up(head: bytes, piece: bytes) -> None:
    def answer(talk: Talk) -> None:
        talk.connection.recv(65_536)
        talk.connection.sendall(head)
        talk.repeat(piece, pause_seconds=0.01)

    with serving(answer) as url:
        assert "does not answer" in refusal(url, receive)


def test_interim_answers_that_come_fast_without_end_are_given_up() -> None:
    """To read them for a minute would take a processor for this minute."""

    def answer(talk: Talk) -> None:
        talk.connection.recv(65_536)
        talk.repeat(INTERIM * 100)

    with serving(answer) as url:
        assert "does not answer: RemoteProtocolError" in refusal(url, receive)


@pytest.mark.usefixtures("short_calls")
def test_a_request_that_is_taken_slowly_is_given_up() -> None:
    def answer(talk: Talk) -> None:
        while not talk.is_over.wait(0.01):
            talk.connection.recv(4_096)

    with serving(answer) as url:
        assert "does not answer" in refusal(url, lambda manager: manager.send(bytes(16_000_000), None, []))


def test_interim_answers_before_an_answer_are_read_over() -> None:
    def answer(talk: Talk) -> None:
        talk.connection.recv(65_536)
        talk.connection.sendall(3 * INTERIM + OK + b"content-length: 7\r\n\r\nI'm up!")

    with serving(answer) as url, HttpTransactionManager(url) as manager:
        assert manager.is_up()


def test_each_call_on_a_connection_has_the_whole_time() -> None:
    now, asked = [1000.0], [0]

    def answer(talk: Talk) -> None:
        while talk.connection.recv(65_536):
            asked[0] += 1
            talk.connection.sendall(OK + b"content-length: 2\r\n\r\nok")

    with (
        serving(answer) as url,
        httpx.Client(transport=TimedTransport(60.0, clock=lambda: now[0]), trust_env=False) as client,
    ):
        for _ in range(2):
            assert client.get(url).text == "ok"
            now[0] += 1000.0
    assert asked == [2]
