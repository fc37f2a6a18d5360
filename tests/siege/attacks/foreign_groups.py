"""What a stranger does to a group of recipients. Anyone who knows the keys can compute its id.

Found before: a payload of the stranger with this id was executed in the members' private state at the one that received it,
by a push, or from a manager of the stranger that was asked for lost payloads.
A group record whose seed was the last member's key had the id too, replaced the record, and the last member's transactions
failed for good. Groups of recipients could be renamed, and be deleted before they existed.
"""

import itertools
from collections.abc import Iterable

import trio

from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.group_ids import sort_keys_by_java_hash
from lacnode.privacy.keys import KeyRing, to_base64
from lacnode.privacy.manager.group_record import LEGACY_NAME, GroupRecord, encode_orion_group
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_paths import PUSH_GROUP_PATH
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH, encode_proven_group
from lacnode.privacy.service.manager_service import ManagerService, ServiceSettings
from lacnode.privacy.state.private_transaction import PrivateTransaction, encode_payload_text, legacy_group_id
from lacnode.privacy.transaction_manager import GroupType
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.attacks.manager_ports import post
from tests.siege.http import ask
from tests.siege.network import NetworkKind, SiegeNetwork
from tests.siege.network import ask as ask_node
from tests.siege.private_stranger import PrivateStranger, key_of, push_sealed, send_marker, validators, victims

PAUSE_SECONDS = 0.4
"""Between two writes of one kind at one member. Each has a marker on the chain."""

GIVEN_BACK_PAUSE_SECONDS, GIVEN_BACK_SECONDS = 2.0, 10.0
"""Between two markers of payloads that are given back, and from a marker's block until the result is looked at."""

EXECUTED_SECONDS = 20.0
POLL_SECONDS = 0.5


async def foreign_writes(manifest: Manifest, sent: Sent) -> None:
    """Payloads of new keys for one member, with the id of the group of both members, and a marker of each."""

    async def keep_on(victim: DevnetNode, via: DevnetNode, turn: int) -> None:
        while True:
            stranger = PrivateStranger()
            one, group = list(foreign_payloads(stranger, victim, _group_of_both(manifest), _others(manifest, victim)))[
                turn
            ]
            sealed = stranger.seal(victim, encode_payload_text(one), group)
            await push_sealed(victim, sealed, sent)
            marker = await send_marker(via, one, sealed.key, sent)
            if await receipt_of(victim, marker) is not None:
                sent.fault("a member has executed a stranger's transaction in a group that the stranger is not in")
            await trio.sleep(PAUSE_SECONDS)

    async with trio.open_nursery() as nursery:
        for number, victim in enumerate(victims(manifest)):
            nursery.start_soon(_keep_giving_back, manifest, victim, validators(manifest)[number], sent)
            for turn in range(4):
                nursery.start_soon(keep_on, victim, validators(manifest)[(number + turn) % 4], turn)


async def _keep_giving_back(manifest: Manifest, victim: DevnetNode, via: DevnetNode, sent: Sent) -> None:
    """Send markers of payloads that a manager of the stranger gives to the victim, which asks for what it lacks. One of five
    is for the group of both, and shows that the victim asks."""
    stranger, store = PrivateStranger(), PayloadStore()
    others = (f"http://127.0.0.1:{victim.privacy_port}",)
    service = ManagerService(KeyRing([stranger.pair]), store, ServiceSettings(client_port=None, other_nodes=others))
    honest = stranger.transaction(victim, b"\0"), None
    foreign = list(foreign_payloads(stranger, victim, _group_of_both(manifest), _others(manifest, victim)))
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        for one, group in itertools.cycle([honest, *foreign]):
            sealed = stranger.seal(victim, encode_payload_text(one), group)
            await trio.to_thread.run_sync(store.put_payload, sealed, {key_of(victim): 0})
            marker = await send_marker(via, one, sealed.key, sent)
            nursery.start_soon(_judge_given_back, victim, marker, (one, group) == honest, sent)
            await trio.sleep(GIVEN_BACK_PAUSE_SECONDS)


async def _judge_given_back(victim: DevnetNode, marker: bytes, is_own: bool, sent: Sent) -> None:
    await receipt_of(victim, marker)
    await trio.sleep(GIVEN_BACK_SECONDS)
    if await ask(victim.rpc_port, "priv_getTransactionReceipt", to_hex(marker)) is None:
        sent.count("payloads not given back" if is_own else "payloads of others' group not executed")
    elif is_own:
        sent.count("payloads given back and executed")
    else:
        sent.fault("a member has executed a stranger's transaction in a group that the stranger is not in")


def foreign_payloads(
    stranger: PrivateStranger, victim: DevnetNode, group: bytes, other: bytes
) -> Iterable[tuple[PrivateTransaction, bytes | None]]:
    """Transactions of the stranger that create a contract, and the group that is named beside the box: `group` of the victim
    and of the key `other`, or None for that of the stranger and the victim."""
    yield stranger.transaction(victim, b"\0"), group
    yield stranger.transaction(victim, b"\0", group=group), group
    yield stranger.transaction(victim, b"\0", private_from=other), group
    yield stranger.transaction(victim, b"\0", private_from=other), None


async def receipt_of(member: DevnetNode, marker: bytes) -> object:
    """The private receipt that a member has for a marker. None if it has none some blocks after the marker is mined."""
    found = None
    with trio.move_on_after(EXECUTED_SECONDS):
        while not isinstance(found, dict):
            await trio.sleep(POLL_SECONDS)
            found = await ask(member.rpc_port, "eth_getTransactionReceipt", to_hex(marker))
    return await ask(member.rpc_port, "priv_getTransactionReceipt", to_hex(marker))


async def false_records(manifest: Manifest, sent: Sent) -> None:
    """Records with the id of the group of both members, and the deletion of groups before they exist."""
    keys = [key_of(victim) for victim in victims(manifest)]

    async def keep_on(victim: DevnetNode, via: DevnetNode) -> None:
        while True:
            stranger = PrivateStranger()
            for record in false_records_of(keys):
                await _tell(victim, record, stranger, sent)
            members = (stranger.pair.public, key_of(victim))
            await _tell(victim, GroupRecord(members, LEGACY_NAME, "", False, GroupType.LEGACY, None), stranger, sent)
            one = stranger.transaction(victim, b"\0")
            key = await stranger.push(victim, one, sent)
            if key is None:
                sent.count("pushes into the deleted group refused")
                continue
            if await receipt_of(victim, await send_marker(via, one, key, sent)) is None:
                sent.fault("a group of recipients that was deleted before it existed executes nothing")
            else:
                sent.count("groups that exist after their deletion")

    async with trio.open_nursery() as nursery:
        for number, victim in enumerate(victims(manifest)):
            for turn in range(2):
                nursery.start_soon(keep_on, victim, validators(manifest)[number + 2 * turn])


def false_records_of(members: list[bytes]) -> list[GroupRecord]:
    """Records with the id of the group of recipients with these members: one that leaves the last one out, renamings, and a
    deletion."""
    *first, last = sort_keys_by_java_hash(members)
    return [
        GroupRecord(tuple(first), "of a stranger", "", True, GroupType.PANTHEON, last),
        GroupRecord(tuple(first), "of a stranger", "", False, GroupType.PANTHEON, last),
        GroupRecord(tuple(members), "of a stranger", "renamed", True, GroupType.LEGACY, None),
        GroupRecord(tuple(members), LEGACY_NAME, "", False, GroupType.LEGACY, None),
    ]


async def _tell(victim: DevnetNode, record: GroupRecord, stranger: PrivateStranger, sent: Sent) -> None:
    """Push a record as an Orion does, and as a lacnode does, which proves its key."""
    await post(victim, PUSH_GROUP_PATH, encode_orion_group(record), sent)
    proven = encode_proven_group(record, stranger.pair, key_of(victim))
    assert proven is not None
    await post(victim, PUSH_PROVEN_GROUP_PATH, proven, sent)


def check_group_of_both(network: SiegeNetwork) -> list[str]:
    """A sentence for each member whose group of both members is not what it was made as."""
    wrong = []
    keys = [str(victim.privacy_key) for victim in victims(network.manifest)]
    id_ = to_base64(_group_of_both(network.manifest))
    for victim in victims(network.manifest):
        found = ask_node(victim, "priv_findPrivacyGroup", keys)
        groups = [group for group in found if group["privacyGroupId"] == id_] if isinstance(found, list) else []
        told = [(group["type"], group["name"], sorted(group["members"])) for group in groups]
        if told != [("LEGACY", LEGACY_NAME, sorted(keys))]:
            wrong.append(f"{victim.name} has another record of the group of both members: {told}")
    return wrong


def _group_of_both(manifest: Manifest) -> bytes:
    keys = [key_of(victim) for victim in victims(manifest)]
    return legacy_group_id(keys[0], keys)


def _others(manifest: Manifest, victim: DevnetNode) -> bytes:
    (other,) = (key_of(each) for each in victims(manifest) if each is not victim)
    return other


ATTACKS = (
    LoadAttack(
        "group-foreign-writes",
        "a stranger's payloads with the id of others' group",
        foreign_writes,
        MEMBER,
        kind=NetworkKind.PRIVATE,
        check=check_group_of_both,
    ),
    LoadAttack(
        "group-false-records",
        "records with the id of others' group, renamings, deletions",
        false_records,
        MEMBER,
        kind=NetworkKind.PRIVATE,
        check=check_group_of_both,
    ),
)
