"""Calls that never end, and calls that ask for much.

Found before: four endless calls at each validator gave gaps of 14 s between blocks, and no other call was answered. A
node has one processor share for consensus that no caller can take.
"""

import json
from collections.abc import Sequence

import trio

from lacnode.devnet.manifest import DevnetNode, Manifest
from tests.siege.attack import Bounds, LoadAttack, Sent
from tests.siege.http import exchange, request
from tests.siege.init_codes import ENDLESS_CALL, PAIRINGS
from tests.siege.measure import MEGABYTE
from tests.siege.websocket import WebSocketClient

CALLS_IN_FLIGHT = 16
"""At each validator."""

GAS = hex(2**63 - 1)
PROOF_SLOTS = 5_000
TOPICS = 30_000
BATCH_CALLS = 1_000
REFUSED_SECONDS = 0.1
"""The pause of a caller after an answer that came at once."""

RPC = Bounds(call_p95_seconds=0.25)
TRACES = Bounds(call_p95_seconds=0.25, memory_bytes=256 * MEGABYTE)
"""A reader process may keep so much memory after a trace (`RECYCLE_BYTES`). Only those ask for traces to whom the operator
opens the groups DEBUG and TRACE."""

ANSWERED_AT_ONCE_SECONDS = 0.2


def endless(data: bytes = ENDLESS_CALL) -> list[object]:
    """Parameters of a call that is no contract's: `data` is init code."""
    return [{"data": "0x" + data.hex(), "gas": GAS}, "latest"]


def proof(address: str) -> list[object]:
    """Parameters of eth_getProof for thousands of slots."""
    return [address, [hex(slot) for slot in range(PROOF_SLOTS)], "latest"]


def topics() -> list[object]:
    """Parameters of eth_getLogs with two lists of 30,000 topics."""
    many = ["0x" + number.to_bytes(32).hex() for number in range(TOPICS)]
    return [{"fromBlock": "0x0", "toBlock": "latest", "topics": [many, many]}]


def documents(address: str) -> list[object]:
    """Every expensive request."""
    calls = [request("eth_call", *endless()) for _ in range(BATCH_CALLS)]
    return [
        request("eth_estimateGas", *endless()),
        request("eth_createAccessList", *endless()),
        request("eth_call", *endless(PAIRINGS)),
        request("eth_getProof", *proof(address)),
        request("eth_getLogs", *topics()),
        calls,
    ]


async def keep_calling(node: DevnetNode, document: object, sent: Sent, kind: str) -> None:
    """Send `document` again as soon as it is answered, each time on a new connection."""
    while True:
        begin = trio.current_time()
        answer = await exchange(node.rpc_port, document)
        sent.count(f"{kind} {'answered' if answer else 'cut off'}")
        if trio.current_time() - begin < ANSWERED_AT_ONCE_SECONDS:
            await trio.sleep(REFUSED_SECONDS)


async def keep_calling_by_websocket(node: DevnetNode, document: object, sent: Sent) -> None:
    """The same on WebSocket connections."""
    while True:
        try:
            async with await WebSocketClient.connect(node.ws_port) as client:
                while True:
                    await client.send_text(json.dumps(document))
                    await client.receive()
                    sent.count("WebSocket answers")
                    await trio.sleep(REFUSED_SECONDS)
        except (OSError, trio.BrokenResourceError, EOFError):
            sent.count("WebSocket connections ended")
        await trio.sleep(REFUSED_SECONDS)


def traces() -> list[dict[str, object]]:
    """Every expensive request for a trace."""
    call = endless()[0]
    return [
        request("debug_traceCall", call, "latest", {"enableMemory": True}),
        request("debug_traceCall", call, "latest", {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}),
        request("trace_call", call, ["trace", "vmTrace", "stateDiff"], "latest"),
        request("trace_callMany", [[call, ["vmTrace"]]] * BATCH_CALLS, "latest"),
        request("trace_filter", {"fromBlock": "0x0", "toBlock": "latest"}),
        request("debug_accountRange", "latest", "0x0", PROOF_SLOTS),
    ]


async def every_trace(manifest: Manifest, sent: Sent) -> None:
    """Two callers of every expensive trace at each validator."""
    async with trio.open_nursery() as nursery:
        for node in manifest.nodes:
            for document in traces():
                for _ in range(2):
                    nursery.start_soon(keep_calling, node, document, sent, str(document["method"]))


async def endless_calls(manifest: Manifest, sent: Sent) -> None:
    """Sixteen endless eth_calls at each validator, all the time."""
    async with trio.open_nursery() as nursery:
        for node in manifest.nodes:
            for _ in range(CALLS_IN_FLIGHT):
                nursery.start_soon(keep_calling, node, request("eth_call", *endless()), sent, "calls")


async def every_method(manifest: Manifest, sent: Sent) -> None:
    """Two callers of every expensive kind at each validator, by HTTP, and one of each by WebSocket."""
    async with trio.open_nursery() as nursery:
        for node in manifest.nodes:
            for document in documents(manifest.accounts[0].address):
                kind = document["method"] if isinstance(document, dict) else "batch"
                for _ in range(2):
                    nursery.start_soon(keep_calling, node, document, sent, str(kind))
                if not isinstance(document, Sequence):
                    nursery.start_soon(keep_calling_by_websocket, node, document, sent)


ATTACKS = (
    LoadAttack("rpc-endless-calls", "16 endless eth_calls in flight at each validator", endless_calls, RPC),
    LoadAttack("rpc-every-method", "estimates, lists, proofs, logs, batches, WebSocket", every_method, RPC),
    LoadAttack("rpc-traces", "endless traces, with memory, differences, many at once", every_trace, TRACES),
)
