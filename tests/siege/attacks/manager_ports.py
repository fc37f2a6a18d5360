"""What a stranger sends to the node port of a transaction manager.

Found before: one POST with a decimal fraction stood the node still for 35 s, 8 MB of empty arrays took 597 MB, three POSTs
of 13.8 MB left 16,383 false keys that nobody got rid of, and 260 half-sent requests from one address closed the port. A push
with 4,096 boxes that open took about a minute: each false key was tried on the whole payload.
"""

import itertools
import secrets
from dataclasses import replace

import trio
from nacl.bindings import crypto_box

from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.privacy.keys import KEY_BYTES, KeyPair, from_base64
from lacnode.privacy.manager.encrypted_payload import MAX_BOXES, encode_orion_payload
from lacnode.privacy.manager.group_record import GroupRecord, encode_orion_group
from lacnode.privacy.manager.orion_party_info import PartyInfo, encode_orion_party_info
from lacnode.privacy.manager.peer_paths import PUSH_GROUP_PATH
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH, encode_proven_group
from lacnode.privacy.transaction_manager import GroupType
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.network import NetworkKind
from tests.siege.private_stranger import PrivateStranger, key_of

STRANGER = "127.0.0.9"
"""The attacker's address: others than it must not notice."""

READ_BYTES = 65_536
PAUSE_SECONDS = 0.02
CLIENTS = 8
SLOW_CONNECTIONS = 260
BOMB_BYTES = 400_000
FALSE_PAYLOAD_BYTES = 4_000_000

BOMBS = (
    ("/partyinfo", b"\xa1\x61a\xc4\x82\x00\xc2\x5a" + (BOMB_BYTES // 2).to_bytes(4) + b"\xff" * (BOMB_BYTES // 2)),
    ("/push", b"\xa1\x61a\xc4\x82\x00\xc2\x5a" + BOMB_BYTES.to_bytes(4) + b"\xff" * BOMB_BYTES),
    ("/push", b"\xa1\x61a\xd8\x24\x7a" + (5_000_000).to_bytes(4) + b"a" * 5_000_000),
    ("/push", b"\x9f" + b"\x80" * 8_000_000 + b"\xff"),
    ("/lacnode/recover", b"\x9f" + b"\x80" * 16_000 + b"\xff"),
    ("/lacnode/prove", b"\x81" * 16_000),
)


def managers(manifest: Manifest) -> list[DevnetNode]:
    return [node for node in manifest.nodes if node.privacy_key is not None]


def posted(path: str, body: bytes, length: int | None = None) -> bytes:
    """A request; `length` is what it says to have, if that is not true."""
    size = len(body) if length is None else length
    lines = (f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/cbor", f"Content-Length: {size}", "", "")
    return "\r\n".join(lines).encode() + body


async def opened(node: DevnetNode) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", node.privacy_port, local_address=STRANGER)


async def post(node: DevnetNode, path: str, body: bytes, sent: Sent) -> None:
    """One request on a new connection; whatever is answered."""
    try:
        async with await opened(node) as stream:
            await stream.send_all(posted(path, body))
            answer = bytes(await stream.receive_some(READ_BYTES))
        sent.count(f"{path} answered {answer[9:12].decode('latin-1') or 'nothing'}")
    except (OSError, trio.BrokenResourceError):
        sent.count(f"{path} cut off")
    await trio.sleep(PAUSE_SECONDS)


async def decoder_bombs(manifest: Manifest, sent: Sent) -> None:
    """Every bomb at every manager, eight at once, all the time."""

    async def keep_on(node: DevnetNode) -> None:
        for path, bomb in itertools.cycle(BOMBS):
            await post(node, path, bomb, sent)

    async with trio.open_nursery() as nursery:
        for node in managers(manifest):
            for _ in range(CLIENTS):
                nursery.start_soon(keep_on, node)


def false_views() -> list[bytes]:
    """As large as one may be, of other keys and URLs each; nobody is at the URLs."""
    views = []
    for series in range(20):
        places = [f"http://127.{series + 1}.{number // 200}.{number % 200 + 1}:1" for number in range(1_000)]
        keys = {bytes([series, number // 256, number % 256]) + bytes(29): place for number, place in enumerate(places)}
        views.append(encode_orion_party_info(PartyInfo(places[0], tuple(places), keys)))
    return views


async def party_info_floods(manifest: Manifest, sent: Sent) -> None:
    """False keys and URLs, as many as are read, and questions between them."""
    views = false_views()

    async def keep_on(node: DevnetNode) -> None:
        for view in itertools.cycle(views):
            await post(node, "/partyinfo", view, sent)
            await post(node, "/partyinfo", encode_orion_party_info(PartyInfo(None)), sent)

    async with trio.open_nursery() as nursery:
        for node in managers(manifest):
            for _ in range(CLIENTS):
                nursery.start_soon(keep_on, node)


async def group_floods(manifest: Manifest, sent: Sent) -> None:
    """Groups with the longest descriptions that have the manager's key in them: told by a member that proves its key, as a
    lacnode does, and without a proof, as an Orion does."""

    async def keep_on(node: DevnetNode) -> None:
        own, member = KeyPair.generate(), from_base64(str(node.privacy_key))
        for number in itertools.count():
            members, seed = (member, own.public), number.to_bytes(20)
            record = GroupRecord(members, "x" * 60_000, "y" * 60_000, True, GroupType.PANTHEON, seed)
            proven = encode_proven_group(record, own, member)
            assert proven is not None
            await post(node, PUSH_PROVEN_GROUP_PATH, proven, sent)
            await post(node, PUSH_GROUP_PATH, encode_orion_group(record), sent)

    async with trio.open_nursery() as nursery:
        for node in managers(manifest):
            for _ in range(CLIENTS):
                nursery.start_soon(keep_on, node)


async def slow_openings(manifest: Manifest, sent: Sent) -> None:
    """Connections of one address that send half a request, and come again when they are cut."""

    async def keep_on(node: DevnetNode) -> None:
        while True:
            try:
                async with await opened(node) as stream:
                    sent.count("half requests")
                    await stream.send_all(posted("/push", bytes(1_000), 16_000_000))
                    await stream.receive_some(READ_BYTES)
            except (OSError, trio.BrokenResourceError):
                sent.count("connections cut")
            await trio.sleep(1.0)

    async with trio.open_nursery() as nursery:
        for node in managers(manifest):
            for _ in range(SLOW_CONNECTIONS):
                nursery.start_soon(keep_on, node)


async def false_boxes(manifest: Manifest, sent: Sent) -> None:
    """Payloads of 4 MB with 4,096 boxes that the manager opens. The master key in each of them is false."""

    async def keep_on(node: DevnetNode) -> None:
        stranger = PrivateStranger()
        sealed = stranger.seal(node, bytes(FALSE_PAYLOAD_BYTES))
        false = [
            crypto_box(secrets.token_bytes(KEY_BYTES), sealed.nonce, key_of(node), stranger.pair.private)
            for _ in range(MAX_BOXES)
        ]
        body = encode_orion_payload(replace(sealed, boxes=tuple(false)))
        while True:
            await post(node, "/push", body, sent)

    async with trio.open_nursery() as nursery:
        for node in managers(manifest):
            for _ in range(CLIENTS):
                nursery.start_soon(keep_on, node)


ATTACKS = (
    LoadAttack(
        "manager-bombs", "CBOR of tags, depth and empty arrays", decoder_bombs, MEMBER, kind=NetworkKind.PRIVATE
    ),
    LoadAttack("manager-party-info", "20,000 false keys and URLs", party_info_floods, MEMBER, kind=NetworkKind.PRIVATE),
    LoadAttack("manager-groups", "groups of 120 kB without end", group_floods, MEMBER, kind=NetworkKind.PRIVATE),
    LoadAttack("manager-openings", "260 half-sent requests", slow_openings, MEMBER, kind=NetworkKind.PRIVATE),
    LoadAttack(
        "manager-false-boxes", "4,096 boxes that open, and are false", false_boxes, MEMBER, kind=NetworkKind.PRIVATE
    ),
)
