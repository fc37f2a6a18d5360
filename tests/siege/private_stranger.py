"""A stranger to all groups: a manager's key, accounts, and what they push to managers and put on the chain.

It needs no node and no manager of its own. It seals payloads to a member's key, pushes them to that member's node port, and
sends the markers to a validator, as anybody on the network can.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import CHAIN_ID
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.keys import KeyPair, from_base64
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload, encode_orion_payload, encrypt_payload
from lacnode.privacy.state.privacy_marker import GroupMode, create_marker
from lacnode.privacy.state.private_transaction import (
    PrivateTransaction,
    encode_payload_text,
    encode_versioned_payload,
    legacy_group_id,
)
from tests.siege.attack import Sent
from tests.siege.http import send
from tests.support.private_nodes import private

ADDRESS = "127.0.0.9"
READ_BYTES = 65_536
GAS = 5_000_000
"""Of a private transaction and its marker. A block of the devnet has room for several."""


@dataclass
class PrivateStranger:
    """One key of a manager that nobody knows."""

    pair: KeyPair = field(default_factory=KeyPair.generate)

    def transaction(
        self,
        victim: DevnetNode,
        data: bytes,
        *,
        to: bytes | None = None,
        nonce: int = 0,
        account: NodeKey | None = None,
        group: bytes | None = None,
        gas: int = GAS,
        private_from: bytes | None = None,
    ) -> PrivateTransaction:
        """A private transaction for the victim's key or for a group, from the stranger, or from the key that it claims."""
        return private(
            account or NodeKey.generate(),
            nonce,
            to=to,
            data=data,
            group=group,
            private_from=private_from or self.pair.public,
            private_for=[key_of(victim)],
            gas=gas,
            chain_id=CHAIN_ID,
        )

    async def push(
        self, victim: DevnetNode, one: PrivateTransaction, sent: Sent, version: bytes | None = None
    ) -> bytes | None:
        """Seal a private transaction to the victim and push it. Its key, None if it was refused."""
        text = encode_payload_text(one) if version is None else encode_versioned_payload(one, version)
        return await self.push_text(victim, text, sent)

    async def push_text(self, victim: DevnetNode, text: bytes, sent: Sent) -> bytes | None:
        """The same for any payload."""
        sealed = self.seal(victim, text)
        return sealed.key if await push_sealed(victim, sealed, sent) else None

    def seal(self, victim: DevnetNode, text: bytes, group: bytes | None = None) -> EncryptedPayload:
        """A payload for the victim, with its box alone, for the group of both, or for another one."""
        key = key_of(victim)
        id_ = group or legacy_group_id(self.pair.public, (key,))
        return encrypt_payload(text, self.pair, [key], id_).with_boxes_at([0])


async def push_sealed(victim: DevnetNode, sealed: EncryptedPayload, sent: Sent) -> bool:
    """Push a payload to the victim. False if it was refused."""
    status = await _post(victim, encode_orion_payload(sealed))
    sent.count(f"pushes answered {status}")
    return status == "200"


async def send_marker(
    node: DevnetNode, one: PrivateTransaction, keys: bytes, sent: Sent, mode: GroupMode = GroupMode.OFFCHAIN
) -> bytes:
    """Send a marker of a new account to the chain. Its hash."""
    marker = create_marker(NodeKey.generate(), 0, one, mode, keys)
    answer = await send(node.rpc_port, "eth_sendRawTransaction", [to_hex(marker.raw)])
    sent.count("markers taken" if b"result" in answer else "markers refused")
    return marker.hash


def victims(manifest: Manifest) -> list[DevnetNode]:
    """The nodes with a manager."""
    return [node for node in manifest.nodes if node.privacy_key is not None]


def validators(manifest: Manifest) -> Sequence[DevnetNode]:
    """The nodes without one."""
    return [node for node in manifest.nodes if node.privacy_key is None]


def key_of(node: DevnetNode) -> bytes:
    return from_base64(str(node.privacy_key))


async def _post(node: DevnetNode, body: bytes) -> str:
    """Push on a new connection from the stranger's address. The status of the answer."""
    lines = ("POST /push HTTP/1.1", "Host: a", "Content-Type: application/cbor", f"Content-Length: {len(body)}", "", "")
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", node.privacy_port, local_address=ADDRESS)
        async with stream:
            await stream.send_all("\r\n".join(lines).encode() + body)
            answer = bytes(await stream.receive_some(READ_BYTES))
    except (OSError, trio.BrokenResourceError):
        return "nothing"
    return answer[9:12].decode("latin-1") or "nothing"
