"""Transactions that take as long as their gas lets them.

Found before: one creation with the block's gas limit stopped the chain for three minutes, one call of blake2F with less
than 1 % of that gas for six. A block is due every period whatever the pool holds: the transaction is cut, left out and
dropped.
"""

import itertools
import random
import re

import trio

from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.transaction import Transaction
from tests.siege.attack import VALIDATOR, Bounds, LoadAttack, Sent
from tests.siege.http import send
from tests.siege.init_codes import BLAKE2_ROUNDS, HEAVY, JUMPDESTS, SELF_CALLS, blake2, deploying
from tests.siege.transactions import SiegeSender, raw

STREAM_SENDERS = 10
STREAM_IN_A_ROW = 3
STREAM_PAUSE_SECONDS = 0.2


async def submit(node: DevnetNode, transaction: Transaction, sent: Sent, kind: str) -> None:
    """Hand a transaction to the RPC of `node`."""
    answer = await send(node.rpc_port, "eth_sendRawTransaction", [raw(transaction)])
    sent.count(kind if b'"result"' in answer else f"{kind} refused")


async def one_creation(manifest: Manifest, sent: Sent) -> None:
    """One creation whose init code is a loop of JUMPDESTs."""
    await submit(manifest.nodes[0], SiegeSender().sign(to=None, data=JUMPDESTS), sent, "creations")
    await trio.sleep_forever()


async def one_precompile(manifest: Manifest, sent: Sent) -> None:
    """One call of blake2F with three million rounds."""
    call = SiegeSender().sign(to=(9).to_bytes(20), data=blake2(), gas=BLAKE2_ROUNDS + 30_000)
    await submit(manifest.nodes[0], call, sent, "calls of blake2F")
    await trio.sleep_forever()


async def every_kind(manifest: Manifest, sent: Sent) -> None:
    """One transaction of each heavy kind after the other, and calls 1,024 deep."""
    caller = SiegeSender()
    await submit(manifest.nodes[0], caller.sign(to=None, data=deploying(SELF_CALLS), gas=10_000_000), sent, "contracts")
    kinds = [*HEAVY.items(), ("deep calls", deploying(SELF_CALLS))]
    for number, (kind, code) in enumerate(itertools.cycle(kinds)):
        transaction = SiegeSender().sign(to=None, data=code)
        await submit(manifest.nodes[number % len(manifest.nodes)], transaction, sent, kind)
        await trio.sleep(manifest.block_period)


async def stream(manifest: Manifest, sent: Sent) -> None:
    """Ten accounts send the heaviest transactions as fast as the pool takes them, each time with other bytes."""
    senders = [SiegeSender() for _ in range(STREAM_SENDERS)]
    rng = random.Random(1)
    while True:
        for sender in senders:
            node = rng.choice(manifest.nodes)
            sender.nonce = await next_nonce(node, sender)
            for _ in range(STREAM_IN_A_ROW):
                code = rng.choice(list(HEAVY.values())) + rng.randbytes(8)
                await submit(node, sender.sign(to=None, data=code), sent, "heavy transactions")
        await trio.sleep(STREAM_PAUSE_SECONDS)


async def next_nonce(node: DevnetNode, sender: SiegeSender) -> int:
    """The nonce that the next block takes from `sender`: what was dropped is sent anew."""
    answer = await send(node.rpc_port, "eth_getTransactionCount", [to_hex(sender.key.address), "latest"])
    found = re.search(rb'"result":\s*"(0x[0-9a-f]+)"', answer)
    return sender.nonce if found is None else int(found[1], 16)


async def nothing(manifest: Manifest, sent: Sent) -> None:
    """The modified validator attacks by itself."""
    await trio.sleep_forever()


ATTACKS = (
    LoadAttack("heavy-creation", "one creation: JUMPDESTs until the block's gas is used", one_creation),
    LoadAttack("heavy-precompile", "one call of blake2F, 3 M rounds", one_precompile),
    LoadAttack("heavy-kinds", "one heavy transaction of each kind a period", every_kind),
    LoadAttack(
        "heavy-stream", "the heaviest transactions from ten accounts", stream, Bounds(ratio=1.5, blocks_waited=3)
    ),
    LoadAttack(
        "heavy-proposal",
        "a validator proposes blocks with an endless transaction",
        nothing,
        VALIDATOR,
        modified={"validator-1": "heavy-blocks"},
    ),
)
