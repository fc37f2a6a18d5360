"""One request to a Prometheus push gateway, over HTTP.

A request ends within `REQUEST_SECONDS`, also if the gateway hangs. Of its response, only the status is read. Must not
know the meaning of a series.
"""

from base64 import urlsafe_b64encode
from urllib.parse import quote

import h11
import trio

REQUEST_SECONDS = 10.0
"""Seconds that one request may take, from the look-up of the name to the status of the response."""

MAX_HEAD_BYTES = 16 * 2**10
"""Bytes of the head of a response. That of a gateway has a few hundred."""

TEXT = "text/plain; version=0.0.4; charset=utf-8"


class GatewayError(Exception):
    """The gateway did not take a request. The text is one sentence."""


class PushGateway:
    """The gateway at `host`:`port`, for the group of series of `job`."""

    def __init__(self, host: str, port: int, job: str) -> None:
        self._host = host
        self._port = port
        self._target = f"/metrics/{_job_path(job)}"

    @property
    def url(self) -> str:
        """The URL to which the series are written."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}{self._target}"

    async def push(self, text: bytes) -> None:
        """Replace the series of the job that are named in `text`, in the text format. GatewayError if the gateway
        does not take them."""
        await self._request("POST", text)

    async def delete(self) -> None:
        """Remove every series of the job. GatewayError if the gateway does not do it."""
        await self._request("DELETE", b"")

    async def _request(self, method: str, body: bytes) -> None:
        try:
            with trio.fail_after(REQUEST_SECONDS):
                status = await self._status(method, body)
        except trio.TooSlowError:
            raise GatewayError(f"no answer within {REQUEST_SECONDS:.0f} s") from None
        except (OSError, UnicodeError, trio.BrokenResourceError) as error:
            # trio's error for a failed connection says only that all addresses failed. Its cause is the error of the
            # system.
            raise GatewayError(str(error.__cause__ or error)) from None
        except h11.ProtocolError as error:
            raise GatewayError(f"an answer that is not HTTP: {error}") from None
        if not 200 <= status < 300:
            raise GatewayError(f"HTTP status {status}")

    async def _status(self, method: str, body: bytes) -> int:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        headers = [
            ("Host", f"{self._host}:{self._port}"),
            ("Content-Type", TEXT),
            ("Content-Length", str(len(body))),
            # One connection for each request: pushes are seconds apart, and a gateway closes idle connections.
            ("Connection", "close"),
        ]
        async with await trio.open_tcp_stream(self._host, self._port) as stream:
            sent = connection.send(h11.Request(method=method, target=self._target, headers=headers))
            sent += connection.send(h11.Data(data=body)) + connection.send(h11.EndOfMessage())
            await stream.send_all(sent)
            return await _final_status(connection, stream)


async def _final_status(connection: h11.Connection, stream: trio.SocketStream) -> int:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(MAX_HEAD_BYTES))
        elif isinstance(event, h11.Response):
            return event.status_code
        # An informational response (1xx) comes before the final one, which alone says whether the gateway took the
        # request.
        elif not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("it ended before its status")


def _job_path(job: str) -> str:
    """Return the job as the gateway reads it in a path. A job with a slash goes in base64."""
    if "/" not in job:
        return f"job/{quote(job, safe='')}"
    return f"job@base64/{urlsafe_b64encode(job.encode()).decode()}"
