"""Messages of a few hundred kilobytes that unpack to fifteen megabytes, transactions of four, and the longest ones that
pools take.

Held before, with 160 MB of memory: what a message unpacks to is bounded, and so is what all of them hold together.
"""

import trio

from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.p2p.rlpx import ConnectionFailedError
from lacnode.p2p.wire.eth_messages import BlockBodies, NewBlock, Transactions
from lacnode.primitives import rlp
from lacnode.txpool.pool_settings import MAX_TRANSACTION_BYTES
from tests.siege.attack import LoadAttack, Sent
from tests.siege.stranger import ETH_ONLY, Stranger
from tests.siege.transactions import SiegeSender

SESSIONS = 3
"""At each validator."""

UNPACKED_BYTES = 15 * 2**20
TOO_LONG_BYTES, ACCEPTED_BYTES = 4 * 2**20, MAX_TRANSACTION_BYTES - 1024
RETURN_SECONDS = 0.2


async def unpack_much(node: DevnetNode, sent: Sent) -> None:
    """Send bombs, a new peer for each that the node ends the session for."""
    bombs = (
        (Transactions.CODE, rlp.encode([bytes(UNPACKED_BYTES)])),
        (BlockBodies.CODE, rlp.encode([b"\x07", [bytes(UNPACKED_BYTES)]])),
        (BlockBodies.CODE, bytes(UNPACKED_BYTES)),
        (NewBlock.CODE, rlp.encode([bytes(UNPACKED_BYTES)])),
    )
    while True:
        for code, body in bombs:
            try:
                stranger = await Stranger.meet(node, capabilities=ETH_ONLY)
                await stranger.send_raw(code, body)
                sent.count("messages that unpack to 15 MB")
                with trio.move_on_after(RETURN_SECONDS):
                    while True:
                        await stranger.receive()
                await stranger.close()
            except (ConnectionFailedError, OSError):
                sent.count("sessions ended")
                await trio.sleep(RETURN_SECONDS)


async def send_large_transactions(node: DevnetNode, sent: Sent) -> None:
    """Valid transactions, one that is too long and one that is not, over and over."""
    while True:
        try:
            stranger = await Stranger.meet(node, capabilities=ETH_ONLY)
            for length, kind in ((TOO_LONG_BYTES, "transactions of 4 MB"), (ACCEPTED_BYTES, "transactions of 256 KB")):
                transaction = SiegeSender().sign(to=b"\x5e" * 20, data=bytes(length), gas=21_000 + 4 * length)
                await stranger.send(Transactions((transaction,)))
                sent.count(kind)
            await stranger.close()
        except (ConnectionFailedError, OSError):
            sent.count("sessions ended")
        await trio.sleep(RETURN_SECONDS)


async def large_messages(manifest: Manifest, sent: Sent) -> None:
    """At every validator."""
    async with trio.open_nursery() as nursery:
        for node in manifest.nodes:
            nursery.start_soon(send_large_transactions, node, sent)
            for _ in range(SESSIONS):
                nursery.start_soon(unpack_much, node, sent)


ATTACKS = (
    LoadAttack("large-messages", "messages that unpack to 15 MB, transactions of 4 MB and of 256 KB", large_messages),
)
