"""A node's JSON-RPC, one call at a time, with a deadline. Must not retry: a call may have had its effect."""

import http.client
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from lacnode.cli.errors import UsageError
from lacnode.primitives.hexadecimal import from_hex, to_hex

TIMEOUT = 15.0
MAX_ANSWER = 16 * 1024 * 1024


class CallFailed(Exception):
    """The node answered with an error. `data` is the error's data, if there was any."""

    def __init__(self, method: str, code: object, message: object, data: object) -> None:
        super().__init__(f"{method}: {message} ({code})")
        self.data = data


class NodeClient:
    """The node whose HTTP JSON-RPC is at `url`; UsageError where it does not answer."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise UsageError(f"--rpc must be a URL like http://127.0.0.1:8545, not {url!r}")
        self.url = url
        self._host, self._port, self._path = parts.hostname, parts.port or 80, parts.path or "/"

    def call(self, method: str, *params: object) -> object:
        """The result of one call; CallFailed where the node says no."""
        request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        try:
            connection.request("POST", self._path, request, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read(MAX_ANSWER))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UsageError(f"the node at {self.url} does not answer: {error}") from None
        finally:
            connection.close()
        if not isinstance(answer, Mapping):
            raise UsageError(f"{self.url} answers, but not with JSON-RPC")
        refusal = answer.get("error")
        if isinstance(refusal, Mapping):
            raise CallFailed(method, refusal.get("code"), refusal.get("message"), refusal.get("data"))
        return answer.get("result")

    def read(self, contract: bytes, data: bytes, sender: bytes = bytes(20)) -> bytes | None:
        """What a contract's view gives; None where the contract reverts."""
        request = {"from": to_hex(sender), "to": to_hex(contract), "data": to_hex(data)}
        try:
            return from_hex(str(self.call("eth_call", request, "latest")))
        except CallFailed:
            return None

    def quantity(self, method: str, *params: object) -> int:
        """The result of a call that gives a number."""
        return int(str(self.call(method, *params)), 16)
