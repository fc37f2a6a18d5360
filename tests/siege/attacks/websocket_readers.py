"""Subscribers that never read what they are told.

Found before: sixty of them with two hundred subscriptions each took a node from 85 to 468 MB, which it did not give back.
"""

import json

import trio

from lacnode.devnet.manifest import DevnetNode, Manifest
from tests.siege.attack import Bounds, LoadAttack, Sent
from tests.siege.http import request
from tests.siege.websocket import WebSocketClient

CLIENTS = 50
SUBSCRIPTIONS = 200
RETURN_SECONDS = 1.0
KINDS = ("newHeads", "newHeads", "newHeads", "newPendingTransactions")


async def subscribe_and_sleep(node: DevnetNode, sent: Sent) -> None:
    """Subscribe many times, read nothing, and come again when the node hangs up."""
    while True:
        try:
            async with await WebSocketClient.connect(node.ws_port) as client:
                sent.count("connections")
                for number in range(SUBSCRIPTIONS):
                    await client.send_text(json.dumps(request("eth_subscribe", KINDS[number % len(KINDS)])))
                    sent.count("subscriptions")
                await _until_hung_up(client)
        except (OSError, EOFError, trio.BrokenResourceError):
            sent.count("connections ended")
        await trio.sleep(RETURN_SECONDS)


async def _until_hung_up(client: WebSocketClient) -> None:
    """A ping now and then finds out, without a read."""
    while True:
        await trio.sleep(RETURN_SECONDS)
        await client.send_text(json.dumps(request("eth_chainId")))


async def never_read(manifest: Manifest, sent: Sent) -> None:
    """Fifty clients at the first validator."""
    async with trio.open_nursery() as nursery:
        for _ in range(CLIENTS):
            nursery.start_soon(subscribe_and_sleep, manifest.nodes[0], sent)


ATTACKS = (
    LoadAttack(
        "websocket-readers",
        f"{CLIENTS} WebSocket clients never read, {SUBSCRIPTIONS} subscriptions each",
        never_read,
        Bounds(ratio=1.1),
    ),
)
