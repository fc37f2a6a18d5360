"""The client of the node that a `permissions` command calls."""

from urllib.parse import urlsplit

from lacnode.cli.errors import UsageError
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.rpc.json_rpc_client import CallRefusedError, NodeUnreachableError, call

RPC_TIMEOUT_SECONDS = 15.0


class NodeClient:
    """The node whose HTTP JSON-RPC is at `url`. UsageError for a URL that is not one of HTTP, and where the node does
    not answer."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise UsageError(f"--rpc must be a URL like http://127.0.0.1:8545, not {url!r}")
        self.url = url

    def call(self, method: str, *params: object) -> object:
        """Return the result of one call. CallRefusedError where the node answers with an error, UsageError where it
        does not answer."""
        try:
            return call(self.url, method, params, RPC_TIMEOUT_SECONDS)
        except NodeUnreachableError as silent:
            raise UsageError(str(silent)) from None

    def read_contract(self, contract: bytes, data: bytes, sender: bytes = bytes(20)) -> bytes | None:
        """Return the output of a call of `contract` (20-byte address) with the call data `data`, on the state of the
        head. Nothing is sent to the chain. None if the node answers with an error, as for a revert. The output is empty
        if the address has no code. UsageError if the node does not answer. ValueError if the answer is not hexadecimal.
        """
        request = {"from": to_hex(sender), "to": to_hex(contract), "data": to_hex(data)}
        try:
            return from_hex(str(self.call("eth_call", request, "latest")))
        except CallRefusedError:
            return None

    def call_for_quantity(self, method: str, *params: object) -> int:
        """Call a method that gives a quantity, and return its result as an integer. CallRefusedError if the node
        answers with an error, UsageError if it does not answer, ValueError if the result is no quantity."""
        return int(str(self.call(method, *params)), 16)
