"""Transactions with the longest access lists that pools accept: 11,000 entries, for which 27 million units of gas are used.

Found before with 80,000 entries: one in a pool lost two rounds. A stream of them kept the network from its period until it
ended. Each copy that a node read took a third of a second to decode, and another third to recover the sender.
"""

import itertools

import trio

from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.primitives.transaction import Transaction
from lacnode.txpool.pool_settings import MAX_TRANSACTION_BYTES
from tests.siege.attack import Bounds, LoadAttack, Sent
from tests.siege.attacks.heavy_transactions import next_nonce
from tests.siege.http import send
from tests.siege.transactions import SiegeSender, raw

ENTRY_BYTES = 23
ENTRIES = (MAX_TRANSACTION_BYTES - 1024) // ENTRY_BYTES
GAS = 21_000 + 2_400 * ENTRIES
SENDERS = 10
PAUSE_SECONDS = 0.125


async def stream_of_access_lists(manifest: Manifest, sent: Sent) -> None:
    """A transaction after the other, from ten accounts, at every validator in turn."""
    senders = [SiegeSender() for _ in range(SENDERS)]
    for number in itertools.count():
        node = manifest.nodes[number % len(manifest.nodes)]
        transaction = await _signed(node, senders[number % SENDERS], first=number * ENTRIES)
        answer = await send(node.rpc_port, "eth_sendRawTransaction", [raw(transaction)])
        sent.count("access lists" if b'"result"' in answer else "access lists refused")
        await trio.sleep(PAUSE_SECONDS)


async def _signed(node: DevnetNode, sender: SiegeSender, first: int) -> Transaction:
    """A transaction that names so many addresses, none of which another one has named."""
    sender.nonce = await next_nonce(node, sender)
    access_list = [((first + entry).to_bytes(20), ()) for entry in range(ENTRIES)]
    return await trio.to_thread.run_sync(lambda: sender.sign_access_list(access_list, gas=GAS))


ATTACKS = (
    LoadAttack(
        "access-lists",
        f"transactions with access lists of {ENTRIES} entries",
        stream_of_access_lists,
        Bounds(ratio=1.5, blocks_waited=3),
    ),
)
