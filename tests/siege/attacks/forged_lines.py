"""Texts of strangers with line breaks and escape sequences in them: each might become a line of a log that says something
else.

Found before: a line break in an announced URL.
"""

import json
import re
from collections.abc import Iterable

import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.p2p.rlpx import ConnectionFailedError, ConnectionTimeouts, open_rlpx
from lacnode.p2p.wire.p2p_messages import P2P_VERSION, Hello
from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.cbor_records import encode_map
from lacnode.privacy.manager.group_record import GroupRecord, encode_orion_group
from lacnode.privacy.manager.peer_paths import PARTY_INFO_PATH, PUSH_GROUP_PATH
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH, encode_proven_group
from lacnode.privacy.transaction_manager import GroupType
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.attacks.manager_ports import opened, post, posted
from tests.siege.http import exchange, request
from tests.siege.network import NetworkKind, SiegeNetwork
from tests.siege.private_stranger import key_of, victims
from tests.support.ibft2_blocks import CAPABILITIES

FORGED = "FORGED"
BREAKS = ("\n", "\r\n", "\r", "\x0b", "\x0c", "\x1b[2K\x1b[1G", "\x85", "\u2028", "\x00\n")
PAUSE_SECONDS = 0.2

CONTROLS = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
"""What no line of a log may have: C0 without tabs and line feeds, C1, and the separators of Unicode, in UTF-8."""


async def forged_lines(manifest: Manifest, sent: Sent) -> None:
    """Such a text at each place where a stranger's text may come into a log."""
    async with trio.open_nursery() as nursery:
        for victim in victims(manifest):
            nursery.start_soon(_tell_manager, victim, sent)
        for node in manifest.nodes:
            nursery.start_soon(_tell_node, node, sent)


def _texts(start: str) -> Iterable[str]:
    while True:
        for line_break in BREAKS:
            yield f"{start}{line_break}{FORGED} an honest manager has lost its keys"


async def _tell_manager(victim: DevnetNode, sent: Sent) -> None:
    own, member = KeyPair.generate(), key_of(victim)
    for text, url in zip(_texts("group"), _texts("http://127.0.0.9:1/"), strict=False):
        for party_info in (
            {"url": url, "nodeURLs": [], "nodePKs": {}},
            {"url": "http://127.0.0.9:1/", "nodeURLs": [url], "nodePKs": {text: url}},
            {"url": "http://127.0.0.9:1/", "nodeURLs": [f"http://{text}/"], "nodePKs": {}},
        ):
            await post(victim, PARTY_INFO_PATH, encode_map(party_info), sent)
        record = GroupRecord((member, own.public), text, text, True, GroupType.PANTHEON, text.encode()[:32])
        proven = encode_proven_group(record, own, member)
        assert proven is not None
        await post(victim, PUSH_PROVEN_GROUP_PATH, proven, sent)
        await post(victim, PUSH_GROUP_PATH, encode_orion_group(record), sent)
        await _send_head(victim, posted("/" + text, b""), sent)
        await trio.sleep(PAUSE_SECONDS)


async def _tell_node(node: DevnetNode, sent: Sent) -> None:
    for text in _texts("siege"):
        await exchange(node.rpc_port, [request(text), request("eth_call", {"to": text, "data": text}, text)])
        sent.count("calls of methods with line breaks")
        await _say_hello(node, text)
        sent.count("Hellos with line breaks")
        await trio.sleep(PAUSE_SECONDS)


async def _send_head(victim: DevnetNode, head: bytes, sent: Sent) -> None:
    try:
        async with await opened(victim) as stream:
            await stream.send_all(head)
            await stream.receive_some(65_536)
    except (OSError, trio.BrokenResourceError):
        pass
    sent.count("heads with line breaks")


async def _say_hello(node: DevnetNode, client_id: str) -> None:
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", node.p2p_port)
        key = NodeKey.generate()
        connection = await open_rlpx(stream, key, bytes.fromhex(node.node_id), ConnectionTimeouts())
        await connection.exchange_hellos(Hello(P2P_VERSION, client_id, CAPABILITIES, 0, key.public_key))
        await connection.close(None)
    except (ConnectionFailedError, OSError, trio.BrokenResourceError):
        return


def check_logs(network: SiegeNetwork) -> list[str]:
    """A sentence for each node whose log has a line that a stranger wrote, or a control character."""
    return [
        f"{node.name} has {what} in its log: {json.dumps(line.decode('utf-8', 'replace')[:100])}"
        for node in network.nodes
        for what, line in suspicious_lines(node.log_file.read_bytes())
    ]


def suspicious_lines(log: bytes) -> Iterable[tuple[str, bytes]]:
    """The first line that begins with what the attack has sent, and the first one with a control character."""
    lines = log.split(b"\n")
    forged = [line for line in lines if line.startswith(FORGED.encode())]
    controls = [line for line in lines if CONTROLS.search(line)]
    yield from (
        (what, found[0]) for what, found in (("a forged line", forged), ("control characters", controls)) if found
    )


ATTACKS = (
    LoadAttack(
        "manager-forged-lines",
        "texts with line breaks in URLs, groups, paths, methods and Hellos",
        forged_lines,
        MEMBER,
        kind=NetworkKind.PRIVATE,
        check=check_logs,
    ),
)
