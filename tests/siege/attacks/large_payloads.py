"""Payloads of strangers as large as a push may be, of a new key each.

Found before: the disk filled, without a quota. Keys cost nothing, so a bound for each key is not enough.
"""

import trio

from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.privacy.manager.encrypted_payload import encode_orion_payload
from lacnode.privacy.state.private_transaction import encode_payload_text
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.attacks.manager_ports import post
from tests.siege.network import NetworkKind
from tests.siege.private_stranger import PrivateStranger, victims

DATA_BYTES = 11_700_000
"""Of a private transaction. The payload has it in base64: 15.6 MB."""

CLIENTS = 2
"""At each manager. The attacking process seals each payload anew, which takes more than a push."""


async def large_payloads(manifest: Manifest, sent: Sent) -> None:
    """Push one payload after the other, each of a new key, until the quota refuses them, and go on."""

    async def keep_on(victim: DevnetNode) -> None:
        while True:
            body = await trio.to_thread.run_sync(_sealed, victim)
            await post(victim, "/push", body, sent)

    async with trio.open_nursery() as nursery:
        for victim in victims(manifest):
            for _ in range(CLIENTS):
                nursery.start_soon(keep_on, victim)


def _sealed(victim: DevnetNode) -> bytes:
    """A transaction of a new key for its group with the victim."""
    stranger = PrivateStranger()
    text = encode_payload_text(stranger.transaction(victim, bytes(DATA_BYTES)))
    return encode_orion_payload(stranger.seal(victim, text))


ATTACKS = (
    LoadAttack(
        "manager-large-payloads",
        "payloads of 15 MB of new keys without end",
        large_payloads,
        MEMBER,
        kind=NetworkKind.PRIVATE,
        fills_stores=True,
    ),
)
