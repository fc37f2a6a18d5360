"""The task that reports to an ethstats server: connects, logs in, reports, and tries again with longer and longer pauses.

A server that is away, hangs, lies or floods costs the node one line in the log, one connection and little work: it is read
only as fast as a bound allows, and blocks are read in one thread.
"""

from collections.abc import Iterable

import orjson
import structlog
import trio

from lacnode.ethstats.ethstats_settings import EthstatsSettings
from lacnode.ethstats.node_reports import NodeReports, primus_pong, unix_ms
from lacnode.ethstats.server_certificate import tls_context
from lacnode.ethstats.stats_connection import StatsConnection, StatsServerError, open_stats_connection

log = structlog.get_logger("ethstats")

REPORT_SECONDS = 5.0
"""Seconds between two reports, as in Besu."""

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 10.0, 300.0
"""The pause before the next attempt, as in Besu at first. It doubles from failure to failure up to the second number."""

LOGIN_SECONDS = 10.0
"""Seconds that the server may take to accept the login."""

SILENCE_SECONDS = 90.0
"""Seconds without any message after which the server counts as gone. It answers each report with a pong."""

MESSAGES_AT_ONCE, MESSAGES_PER_SECOND = 50, 10
"""Messages of the server that are read. A server that sends more is read later."""

HISTORY_SECONDS = 5.0
"""Seconds between two answers about earlier blocks. Other requests are not answered."""

_PORTS = {"ws": 80, "wss": 443}


class EthstatsClient:
    """Reports of this node to the ethstats server of `settings`. `first_pause_seconds` is the pause after each of the
    first two failures. EthstatsCertificateError if the file of the server's authority cannot be used. It is not read if
    the scheme is `ws`."""

    def __init__(
        self, settings: EthstatsSettings, reports: NodeReports, first_pause_seconds: float = FIRST_PAUSE_SECONDS
    ) -> None:
        self._settings = settings
        self._reports = reports
        self._first_pause_seconds = first_pause_seconds
        self._tls = None if settings.scheme == "ws" else tls_context(settings.ca_file)
        self._working = trio.CapacityLimiter(1)
        self._failures = 0
        self._asked_ms = 0
        self._next_history = 0.0

    async def run(self) -> None:
        """Connect, log in and report, again and again, until cancelled. A failure raises no error. Of several failures
        of the server in a row only the first is logged as a warning. The next attempt comes after a pause, which
        doubles from the third failure on, up to `MAX_PAUSE_SECONDS`."""
        attempt = 0
        while True:
            scheme = self._settings.scheme or ("wss" if attempt % 2 == 0 else "ws")
            attempt += 1
            try:
                await self._report(scheme)
            except StatsServerError as error:
                self._failed(scheme, str(error))
            # A block that cannot be read, for example. The task must not end the node.
            except Exception:
                log.exception("a report to the ethstats server failed")
                self._failures += 1
            await trio.sleep(self._pause_seconds())

    def _pause_seconds(self) -> float:
        # The first two failures may be the two schemes of one server.
        return float(min(self._first_pause_seconds * 2.0 ** min(max(0, self._failures - 2), 32), MAX_PAUSE_SECONDS))

    def _failed(self, scheme: str, reason: str) -> None:
        # Only the first failure is a line in the log. A server may be away for days.
        if self._failures == 0:
            log.warning(
                f"The ethstats server {self._address(scheme)} cannot be used: {reason}. "
                "The node tries again, and says so when it works."
            )
        else:
            log.debug(f"The ethstats server {self._address(scheme)} cannot be used: {reason}")
        self._failures += 1

    def _address(self, scheme: str) -> str:
        return f"{scheme}://{self._settings.host}:{self._port(scheme)}"

    def _port(self, scheme: str) -> int:
        return self._settings.port or _PORTS[scheme]

    async def _report(self, scheme: str) -> None:
        """Log in and report until the connection ends. StatsServerError says why."""
        tls = self._tls if scheme == "wss" else None
        try:
            async with open_stats_connection(self._settings.host, self._port(scheme), tls) as connection:
                await self._log_in(connection)
                log.info(f"Connected to ethstats server {self._address(scheme)}", failed_before=self._failures)
                self._failures = 0
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send_reports, connection)
                    nursery.start_soon(self._answer, connection)
        # The nursery wraps the error of each task in a group. The first one is the cause.
        except* StatsServerError as group:
            raise _first(group) from None

    async def _log_in(self, connection: StatsConnection) -> None:
        await connection.send(self._reports.login_message())
        with trio.move_on_after(LOGIN_SECONDS):
            while True:
                text = await connection.receive()
                if _emitted(text)[:1] == ["ready"]:
                    return
                if not await self._answered_ping(connection, text):
                    raise StatsServerError("it did not accept the login; the secret may be wrong")
        raise StatsServerError(f"it did not answer the login within {LOGIN_SECONDS:.0f} s")

    async def _send_reports(self, connection: StatsConnection) -> None:
        while True:
            self._asked_ms = unix_ms()
            await connection.send(self._reports.ping_message(self._asked_ms))
            # Reading a block takes milliseconds, and the event loop serves consensus.
            for report in await trio.to_thread.run_sync(self._reports.all_reports, limiter=self._working):
                await connection.send(report)
            await trio.sleep(REPORT_SECONDS)

    async def _answer(self, connection: StatsConnection) -> None:
        saved, since = float(MESSAGES_AT_ONCE), trio.current_time()
        while True:
            with trio.move_on_after(SILENCE_SECONDS) as silence:
                text = await connection.receive()
            if silence.cancelled_caught:
                raise StatsServerError(f"it was silent for {SILENCE_SECONDS:.0f} s")
            await self._answer_one(connection, text)
            now = trio.current_time()
            saved, since = min(MESSAGES_AT_ONCE, saved + (now - since) * MESSAGES_PER_SECOND) - 1, now
            # Not read for a while: what the server sends meanwhile waits in its own socket.
            if saved < 0:
                await trio.sleep(-saved / MESSAGES_PER_SECOND)

    async def _answer_one(self, connection: StatsConnection, text: str) -> None:
        """Answer one message of the server. One that this node does not know is ignored, as in Besu."""
        if await self._answered_ping(connection, text):
            return
        match _emitted(text):
            case ["node-pong", *_]:
                await connection.send(self._reports.latency_message(max(0, unix_ms() - self._asked_ms)))
            case ["history", *rest] if trio.current_time() >= self._next_history:
                self._next_history = trio.current_time() + HISTORY_SECONDS
                numbers = _numbers(rest)
                answer = await trio.to_thread.run_sync(self._reports.history_message, numbers, limiter=self._working)
                if answer is not None:
                    await connection.send(answer)

    async def _answered_ping(self, connection: StatsConnection, text: str) -> bool:
        if not text.startswith('"primus::ping::'):
            return False
        await connection.send(primus_pong(unix_ms()))
        return True


def _emitted(text: str) -> list[object]:
    """Return type and payload of a message, an empty list for any other text."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    parts = message.get("emit") if isinstance(message, dict) else None
    return parts if isinstance(parts, list) else []


def _numbers(payload: Iterable[object]) -> list[int]:
    """Return the numbers of the blocks that a server asks for, an empty list if it names none."""
    first = next(iter(payload), None)
    wanted = first.get("list") if isinstance(first, dict) else None
    return [number for number in wanted if type(number) is int] if isinstance(wanted, list) else []


def _first(group: BaseExceptionGroup[StatsServerError]) -> StatsServerError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
