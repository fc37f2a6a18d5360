"""Another's marker in front of the owner's, with a higher price.

Found before: the payload was executed at the other marker, and the owner's marker had the private status `0x2`, as if its
transaction had been wrong.
"""

import trio

from lacnode.devnet.manifest import Manifest
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.privacy.state.privacy_marker import GroupMode
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.http import ask
from tests.siege.network import NetworkKind
from tests.siege.permission_calls import key_of_account
from tests.siege.private_stranger import validators
from tests.siege.transactions import SiegeSender, raw

POLL_SECONDS = 0.02
PRICE_WEI = 1
"""Above the owners', whose markers are free. So a block has the copy first, if it has both."""

GAS = 100_000
MINED_SECONDS = 20.0


async def front_runs(manifest: Manifest, sent: Sent) -> None:
    """Copy each marker that waits in a pool, from an account that pays, to every validator."""
    ports = [node.rpc_port for node in validators(manifest)]
    sender = SiegeSender(key_of_account(manifest, 0))
    filter_ = await ask(ports[0], "eth_newPendingTransactionFilter")
    assert isinstance(filter_, str), "a validator has no filter of pending transactions"
    copied: set[str] = set()
    async with trio.open_nursery() as nursery:
        while True:
            hashes = await ask(ports[0], "eth_getFilterChanges", filter_)
            for hash_ in hashes if isinstance(hashes, list) else ():
                payload = await _payload_of(ports[0], hash_)
                # A copy is such a marker too. It must not be copied again.
                if payload is not None and payload not in copied:
                    copied.add(payload)
                    await _copy(ports, sender, hash_, payload, nursery, sent)
            await trio.sleep(POLL_SECONDS)


async def _payload_of(port: int, hash_: str) -> str | None:
    """The data of a marker, None if the transaction is none."""
    found = await ask(port, "eth_getTransactionByHash", hash_)
    return found["input"] if isinstance(found, dict) and found["to"] == to_hex(GroupMode.OFFCHAIN.value) else None


async def _copy(
    ports: list[int], sender: SiegeSender, own: str, payload: str, nursery: trio.Nursery, sent: Sent
) -> None:
    copy = sender.sign(to=GroupMode.OFFCHAIN.value, data=from_hex(payload), gas=GAS, gas_price=PRICE_WEI)
    taken = await ask(ports[0], "eth_sendRawTransaction", raw(copy))
    if not isinstance(taken, str):
        sender.nonce -= 1
        sent.count("copies refused")
        return
    sent.count("markers copied")
    for other in ports[1:]:
        nursery.start_soon(ask, other, "eth_sendRawTransaction", raw(copy))
    nursery.start_soon(_count_order, ports[0], own, taken, sent)


async def _count_order(port: int, own: str, copy: str, sent: Sent) -> None:
    """Count whether the copy came first."""
    places = []
    with trio.move_on_after(MINED_SECONDS):
        for hash_ in (own, copy):
            while not isinstance(receipt := await ask(port, "eth_getTransactionReceipt", hash_), dict):  # noqa: ASYNC110
                await trio.sleep(1.0)
            places.append((int(receipt["blockNumber"], 16), int(receipt["transactionIndex"], 16)))
        sent.count("copies in front" if places[1] < places[0] else "copies behind")


ATTACKS = (
    LoadAttack(
        "marker-front-running",
        "a copy of each marker, for a higher price",
        front_runs,
        MEMBER,
        kind=NetworkKind.PRIVATE,
    ),
)
