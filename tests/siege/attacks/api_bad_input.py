"""Texts that are no queries and calls that are no requests, at the ports of the API: GraphQL and JSON-RPC.

Found before: a GraphQL text with many unfinished strings kept a process of the node busy for hours. A call whose id and
method are whole numbers of more than 64 bits ended the connection with an error in the log.
"""

import json

import trio

from lacnode.devnet.manifest import DevnetNode, Manifest
from tests.siege.attack import LoadAttack, Sent
from tests.siege.attacks.rpc_starvation import RPC
from tests.siege.http import READ_BYTES, post

CALLERS = 4
"""Of each kind, at each validator."""

STRING_ENDS = 50_000
LARGE = 2**70
PAUSE_SECONDS = 0.1
"""Between two requests of one caller."""

GRAPHQL_TEXTS = (
    "mutation",
    "mutation { " + '\\"""\n' * STRING_ENDS,
    '{ block(number: """' + '\\"""\n' * STRING_ENDS,
    "{ block { number } } #" + '"""' * STRING_ENDS,
)
"""None of them is a whole query, and each is shorter than the longest text that is read."""

CALLS = (
    {"jsonrpc": "2.0", "id": LARGE, "method": LARGE, "params": []},
    {"jsonrpc": "2.0", "id": -LARGE, "method": "eth_blockNumber", "params": LARGE},
    {"jsonrpc": "2.0", "id": LARGE, "method": "eth_getBlockByNumber", "params": [LARGE, LARGE]},
    [{"jsonrpc": "2.0", "id": LARGE, "method": LARGE}] * 100,
)
"""Their numbers have more than 64 bits."""


def graphql_port(node: DevnetNode) -> int:
    """The port that the node says it has. The change `graphql` of `modified_validator.py` opens it."""
    lines = (node.directory / "besu.ports").read_text("utf-8").split()
    return int(dict(line.split("=") for line in lines)["graphql-http"])


async def keep_posting(port: int, requests: list[bytes], kind: str, sent: Sent) -> None:
    """Send the requests one after the other on one connection, and on a new one when the node hangs up."""
    while True:
        try:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                while True:
                    for request in requests:
                        await stream.send_all(request)
                        if not await stream.receive_some(READ_BYTES):
                            raise trio.BrokenResourceError
                        sent.count(kind)
                        await trio.sleep(PAUSE_SECONDS)
        except (OSError, trio.BrokenResourceError):
            sent.count(f"connections of {kind} ended")
        await trio.sleep(PAUSE_SECONDS)


async def bad_input(manifest: Manifest, sent: Sent) -> None:
    """At every validator."""
    texts = [
        post(json.dumps({"query": text}).encode()).replace(b"POST /", b"POST /graphql", 1) for text in GRAPHQL_TEXTS
    ]
    calls = [post(json.dumps(call).encode()) for call in CALLS]
    async with trio.open_nursery() as nursery:
        for node in manifest.nodes:
            for _ in range(CALLERS):
                nursery.start_soon(keep_posting, graphql_port(node), texts, "GraphQL texts", sent)
                nursery.start_soon(keep_posting, node.rpc_port, calls, "calls", sent)


ATTACKS = (
    LoadAttack(
        "api-bad-input",
        "GraphQL texts of unfinished strings, calls with numbers of more than 64 bits",
        bad_input,
        RPC,
        modified={f"validator-{number}": "graphql" for number in (1, 2, 3, 4)},
    ),
)
