"""The client of the node that a `permissions` command calls."""

from urllib.parse import urlsplit

from lacnode.cli.errors import UsageError
from lacnode.cli.permissions.printable_text import printable
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.rpc.json_rpc_client import CallRefusedError, NodeUnreachableError, call, read_quantity

RPC_TIMEOUT_SECONDS = 15.0
UNKNOWN_METHOD, METHOD_NOT_ENABLED = -32601, -32604
"""Codes of the errors for a method that a node does not have: not at all, or not in the API groups that it serves."""


class NodeClient:
    """Calls the node whose HTTP JSON-RPC is at `url`. UsageError if `url` does not begin with `http://` or names no
    host: https is not supported. The constructor does not call the node. Each call waits at most `RPC_TIMEOUT_SECONDS`
    for the connection and for each read."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            is_http = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
        # A port above 65,535, or a bracket without the other one.
        except ValueError:
            is_http = False
        if not is_http:
            raise UsageError(f"--rpc must be a URL like http://127.0.0.1:8545, not {url!r}")
        self.url = url

    def call(self, method: str, *params: object) -> object:
        """Return the result of one call, a JSON value. CallRefusedError if the node answers with an error, UsageError
        if it does not answer, or not with JSON-RPC."""
        try:
            return call(self.url, method, params, RPC_TIMEOUT_SECONDS)
        except NodeUnreachableError as silent:
            raise UsageError(f"{printable(str(silent))}; --rpc names the HTTP JSON-RPC of a running node") from None

    def read_contract(self, contract: bytes, data: bytes, sender: bytes = bytes(20)) -> bytes | None:
        """Return the output of a call of `contract` (20-byte address) with the call data `data`, on the state of the
        head. Nothing is sent to the chain. None if the node answers with an error, as for a revert. The output is empty
        if the address has no code. UsageError if the node does not answer, has no `eth_call`, or answers with no
        hexadecimal text.
        """
        request = {"from": to_hex(sender), "to": to_hex(contract), "data": to_hex(data)}
        try:
            output = self.call("eth_call", request, "latest")
        except CallRefusedError as refusal:
            # Without the method every contract would look like one that reverts.
            if refusal.code in (UNKNOWN_METHOD, METHOD_NOT_ENABLED):
                raise UsageError(self.explain_refusal(refusal)) from None
            return None
        try:
            return from_hex(output if isinstance(output, str) else repr(output))
        except ValueError:
            raise self._unexpected("eth_call", "hexadecimal text", output) from None

    def call_for_quantity(self, method: str, *params: object) -> int:
        """Call a method that gives a quantity, and return its result as an integer. CallRefusedError if the node
        answers with an error, UsageError if it does not answer, or if the result is no quantity."""
        result = self.call(method, *params)
        number = read_quantity(result)
        if number is None:
            raise self._unexpected(method, "a quantity", result)
        return number

    def explain_refusal(self, refusal: CallRefusedError) -> str:
        """Return one line that says what the node refused, and the API group to switch on if it lacks the method."""
        text = printable(f"the node at {self.url} refuses {refusal}")
        if refusal.code not in (UNKNOWN_METHOD, METHOD_NOT_ENABLED):
            return text
        group = refusal.method.partition("_")[0].upper()
        return f"{text}; add {group} to its --rpc-http-api, or name another node by --rpc"

    def _unexpected(self, method: str, expected: str, found: object) -> UsageError:
        return UsageError(f"the node at {self.url} answers {method} with {str(found)[:80]!r}; {expected} was expected")
