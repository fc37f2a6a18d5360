"""A member's manager loses its store and recovers it from the others, while strangers push as much as quotas let them.

Found before: 45 group records of 512 kB made the answers to a recovery longer than their reader took, so that a member could
not recover any more. What strangers push names the recovering member too, so that it is in the answers.
"""

import itertools
from collections.abc import Iterable

import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import CHAIN_ID
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.encrypted_payload import encode_orion_payload, encrypt_payload
from lacnode.privacy.manager.group_record import GroupRecord, encode_orion_group
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_paths import PUSH_GROUP_PATH
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH, encode_proven_group
from lacnode.privacy.manager.recovery_boxes import PUSH_WITH_BOXES_PATH, encode_push_with_boxes, make_recovery_box
from lacnode.privacy.service.manager_service import ManagerService, ServiceSettings
from lacnode.privacy.state.private_transaction import encode_payload_text, legacy_group_id
from lacnode.privacy.transaction_manager import GroupType
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.attacks.manager_ports import post
from tests.siege.http import ask
from tests.siege.network import NetworkKind
from tests.siege.private_stranger import key_of, victims
from tests.support.private_nodes import private

DATA_BYTES = 3_000_000
"""Of a stranger's private transaction. The payload has it in base64: 4 MB, three for each key by the sixteenth of 240 MB."""

PAYLOADS_OF_A_KEY = 3
GROUP_TEXT = "x" * 60_000
HONEST_PAYLOADS = 20
"""That the member has before it loses its store, half of each of the others."""

FULL_SECONDS = 10.0
"""How long the strangers push before the honest payloads are sent. The stores are full then."""

KNOWN_SECONDS = 15.0
RECOVERED_SECONDS = 75.0
POLL_SECONDS = 0.2


class Member:
    """A third member with a manager of its own, and a store that can be lost."""

    def __init__(self, others: Iterable[DevnetNode]) -> None:
        self.pair = KeyPair.generate()
        self._others = tuple(f"http://127.0.0.1:{node.privacy_port}" for node in others)
        self._port = 0
        self._scope, self._ended = trio.CancelScope(), trio.Event()

    async def start(self, nursery: trio.Nursery, *, recover: bool = False) -> None:
        """Run its manager on an empty store. The port stays the same."""
        settings = ServiceSettings(node_port=self._port, client_port=None, other_nodes=self._others, recover=recover)
        self._service = ManagerService(KeyRing([self.pair]), PayloadStore(), settings)
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        await nursery.start(self._run)

    async def lose_store(self, nursery: trio.Nursery) -> None:
        """Stop the manager, and start it without what it had."""
        self._scope.cancel()
        await self._ended.wait()
        await self.start(nursery, recover=True)

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._service.run)
                self._port = self._service.node_port or 0
                task_status.started()
        self._service.close()
        self._ended.set()

    def lacks(self, keys: Iterable[bytes]) -> int:
        """How many of these payloads its store does not have."""
        return sum(not self._service.manager.has_payload(key, self.pair.public) for key in keys)


async def lost_stores(manifest: Manifest, sent: Sent) -> None:
    """Fill the stores of both members, and let a third one lose and recover its store, again and again."""
    member = Member(victims(manifest))
    async with trio.open_nursery() as nursery:
        await member.start(nursery)
        for victim in victims(manifest):
            nursery.start_soon(_keep_pushing_payloads, victim, member.pair.public, sent)
            nursery.start_soon(_keep_pushing_groups, victim, member.pair.public, sent)
        await trio.sleep(FULL_SECONDS)
        keys = await _send_honest_payloads(victims(manifest), member, sent)
        while True:
            await member.lose_store(nursery)
            await _judge_recovery(member, keys, sent)


async def _judge_recovery(member: Member, keys: list[bytes], sent: Sent) -> None:
    with trio.move_on_after(RECOVERED_SECONDS):
        while await trio.to_thread.run_sync(member.lacks, keys):  # noqa: ASYNC110
            await trio.sleep(POLL_SECONDS)
        sent.count("stores recovered")
        return
    sent.fault(f"{member.lacks(keys)} of {len(keys)} payloads were not recovered within {RECOVERED_SECONDS:.0f} s")


async def _send_honest_payloads(nodes: list[DevnetNode], member: Member, sent: Sent) -> list[bytes]:
    """Send private transactions to the member through the nodes in turn. The keys of their payloads."""
    keys: list[bytes] = []
    with trio.move_on_after(KNOWN_SECONDS):
        for node in itertools.cycle(nodes):
            if len(keys) == HONEST_PAYLOADS:
                break
            key = await _send_honest_payload(node, member)
            sent.count("honest payloads refused" if key is None else "honest payloads sent")
            keys += [] if key is None else [key]
    if len(keys) < HONEST_PAYLOADS:
        sent.fault(f"only {len(keys)} of {HONEST_PAYLOADS} honest payloads could be sent to the member")
    return keys


async def _send_honest_payload(node: DevnetNode, member: Member) -> bytes | None:
    """The key of a payload, which the data of its marker is. None if it was not sent."""
    own = key_of(node)
    one = private(NodeKey.generate(), data=b"\0", private_from=own, private_for=[member.pair.public], chain_id=CHAIN_ID)
    marker = await ask(node.rpc_port, "eea_sendRawTransaction", to_hex(one.raw))
    found = await ask(node.rpc_port, "eth_getTransactionByHash", marker) if isinstance(marker, str) else None
    return from_hex(found["input"]) if isinstance(found, dict) else None


async def _keep_pushing_payloads(victim: DevnetNode, member: bytes, sent: Sent) -> None:
    """Payloads for the victim and the member, with the box that the member recovers with."""
    while True:
        stranger = KeyPair.generate()
        for _ in range(PAYLOADS_OF_A_KEY):
            body = await trio.to_thread.run_sync(payload_for_both, stranger, key_of(victim), member)
            await post(victim, PUSH_WITH_BOXES_PATH, body, sent)


def payload_for_both(stranger: KeyPair, victim: bytes, member: bytes) -> bytes:
    """A push of a large payload to the victim. The member can open it, too."""
    keys = [victim, member]
    one = private(
        NodeKey.generate(), data=bytes(DATA_BYTES), private_from=stranger.public, private_for=keys, chain_id=CHAIN_ID
    )
    sealed = encrypt_payload(encode_payload_text(one), stranger, keys, legacy_group_id(stranger.public, keys))
    boxes = {member: make_recovery_box(sealed, 1, stranger, member)}
    pushed = encode_orion_payload(sealed.with_boxes_at([0]))
    return encode_push_with_boxes(pushed, sealed.key, boxes, stranger, victim)


async def _keep_pushing_groups(victim: DevnetNode, member: bytes, sent: Sent) -> None:
    """Long records of groups with the victim and the member: with a proof of the teller's key, and without."""
    for number in itertools.count():
        stranger = KeyPair.generate()
        members, seed = (key_of(victim), member, stranger.public), number.to_bytes(20)
        record = GroupRecord(members, GROUP_TEXT, GROUP_TEXT, True, GroupType.PANTHEON, seed)
        proven = encode_proven_group(record, stranger, key_of(victim))
        assert proven is not None
        await post(victim, PUSH_PROVEN_GROUP_PATH, proven, sent)
        await post(victim, PUSH_GROUP_PATH, encode_orion_group(record), sent)


ATTACKS = (
    LoadAttack(
        "manager-lost-store",
        "a member recovers while strangers fill the others' stores",
        lost_stores,
        MEMBER,
        kind=NetworkKind.PRIVATE,
        lengthened=2.0,
        fills_stores=True,
    ),
)
