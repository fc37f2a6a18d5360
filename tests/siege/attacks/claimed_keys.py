"""A stranger's manager that claims keys: such that nobody has announced, and those of members.

Found before: who claimed a key that nobody had announced yet received the payloads for it, and could confirm them. The
sender took the payload for delivered.
"""

import itertools
import secrets
from collections.abc import Callable
from functools import partial

import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import CHAIN_ID
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.encrypted_payload import decode_orion_payload
from lacnode.privacy.manager.key_proof_exchange import PROVE_PATH
from lacnode.privacy.manager.orion_party_info import PartyInfo, encode_orion_party_info
from lacnode.privacy.manager.peer_paths import PARTY_INFO_PATH, PUSH_PATH
from lacnode.privacy.manager.recovery_boxes import PUSH_WITH_BOXES_PATH
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.attacks.manager_ports import post
from tests.siege.http import ask
from tests.siege.network import NetworkKind
from tests.siege.private_stranger import ADDRESS, key_of, victims
from tests.support.private_nodes import private

READ_BYTES = 65_536
MAX_BODY_BYTES = 1_000_000
CLAIM_PAUSE_SECONDS = 1.0
KNOWN_SECONDS = 5.0

ProofAnswer = Callable[[], bytes | None]


class FalseManager:
    """Listens at the stranger's address. It announces the keys that it claims, and confirms every push. `proof` is its
    answer to a question for a proof, None for that of an Orion, which knows none."""

    def __init__(self, sent: Sent, proof: ProofAnswer) -> None:
        self._sent, self._proof = sent, proof
        self.claimed: list[bytes] = []
        self.asked = trio.Event()
        """Somebody has asked for the party info since this was last replaced."""
        self.url = ""

    @property
    def party_info(self) -> bytes:
        return encode_orion_party_info(PartyInfo(self.url, (self.url,), dict.fromkeys(self.claimed, self.url)))

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host=ADDRESS)
        self.url = f"http://{ADDRESS}:{listeners[0].socket.getsockname()[1]}"
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            head, _, body = (await read_request(stream)).partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode("latin-1")
            await stream.send_all(self._answer(path, body))
            await stream.aclose()
        except (OSError, trio.BrokenResourceError, IndexError, ValueError):
            self._sent.count("calls cut off")

    def _answer(self, path: str, body: bytes) -> bytes:
        self._sent.count(f"calls of {path}")
        if path == PARTY_INFO_PATH:
            self.asked.set()
            return ok(self.party_info)
        if path == PROVE_PATH and (proof := self._proof()) is not None:
            return ok(proof)
        if path == PUSH_PATH:
            self._sent.fault("a payload was pushed to a manager that has not proven the key")
            return ok(to_base64(decode_orion_payload(body).key).encode())
        if path == PUSH_WITH_BOXES_PATH:
            self._sent.fault("a payload was pushed to a manager that has not proven the key")
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def read_request(stream: trio.SocketStream) -> bytes:
    """One request: its head, and a body of the length that the head says."""
    received = b""
    while data := await stream.receive_some(READ_BYTES):
        received += data
        head, separator, body = received.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        if (separator and len(body) >= length) or len(received) > MAX_BODY_BYTES:
            break
    return received


def ok(body: bytes) -> bytes:
    """An answer with this body, after which the connection ends."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


async def claims(manifest: Manifest, sent: Sent) -> None:
    """Claim new keys and the members' own at every manager. Clients of the members send to the new keys."""
    proofs: tuple[ProofAnswer, ...] = (lambda: None, partial(secrets.token_bytes, 32), lambda: b"")
    async with trio.open_nursery() as nursery:
        for victim in victims(manifest):
            for proof in proofs:
                manager = FalseManager(sent, proof)
                await nursery.start(manager.run)
                nursery.start_soon(_keep_claiming, victim, manager, [key_of(each) for each in victims(manifest)], sent)


async def _keep_claiming(victim: DevnetNode, manager: FalseManager, members: list[bytes], sent: Sent) -> None:
    for number in itertools.count():
        new = KeyPair.generate().public
        # Now and then the members' own keys, too: a claim of a known key is a line of the log.
        manager.claimed = [new, *(members if number % 10 == 0 else ())]
        manager.asked = trio.Event()
        await post(victim, PARTY_INFO_PATH, manager.party_info, sent)
        # The victim calls the manager back and hears of the key there.
        with trio.move_on_after(KNOWN_SECONDS):
            await manager.asked.wait()
        one = private(NodeKey.generate(), data=b"\0", private_from=key_of(victim), private_for=[new], chain_id=CHAIN_ID)
        if await ask(victim.rpc_port, "eea_sendRawTransaction", to_hex(one.raw)) is None:
            sent.count("sends to claimed keys refused")
        else:
            sent.fault("a private transaction for a claimed key without a proof counts as sent")
        await trio.sleep(CLAIM_PAUSE_SECONDS)


ATTACKS = (
    LoadAttack(
        "manager-claimed-keys",
        "claims of keys that nobody has announced, and of members' keys",
        claims,
        MEMBER,
        kind=NetworkKind.PRIVATE,
    ),
)
