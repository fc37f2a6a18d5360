"""Consensus messages of peers that are no validators, as fast as the node takes them.

Found before: three such sessions took nine blocks of ten, and a line of the log for each message. They shared one queue
with the validators' messages.
"""

import random
from collections.abc import Callable

import trio

from lacnode.consensus.bft.messages import Commit, Prepare, RoundChange
from lacnode.consensus.bft.payloads import CommitPayload, PreparePayload, RoundChangePayload, RoundId
from lacnode.consensus.ibft2.messages import encode_message
from lacnode.consensus.ibft2.payloads import COMMIT, PREPARE, PROPOSAL, ROUND_CHANGE
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.p2p.rlpx import ConnectionFailedError
from lacnode.p2p.wire.p2p_messages import DISCONNECT, EMPTY_LIST, PING, PONG
from tests.siege.attack import LoadAttack, Sent
from tests.siege.stranger import Stranger
from tests.support.ibft2_blocks import sign_payload

SESSIONS = 3
"""At each validator."""

DIFFERENT_MESSAGES = 2_000
FAR_HEIGHT = 2**40

Message = tuple[int, bytes]


def malformed(rng: random.Random) -> Message:
    """Bytes that are no message."""
    return rng.randrange(4), rng.randbytes(rng.choice((1, 60, 120, 4_000)))


def signed_by_a_stranger(rng: random.Random, heights: range = range(1, 200)) -> Message:
    """A well-formed message with the valid signature of a key that is no validator's."""
    signer = NodeKey.generate()
    round_id = RoundId(rng.choice(heights), rng.randrange(3))
    kind = rng.choice((PREPARE, COMMIT, ROUND_CHANGE))
    if kind == PREPARE:
        return kind, encode_message(Prepare(sign_payload(PreparePayload(round_id, rng.randbytes(32)), signer)))  # type: ignore[arg-type]
    if kind == COMMIT:
        return kind, encode_message(Commit(sign_payload(CommitPayload(round_id, rng.randbytes(32)), signer)))  # type: ignore[arg-type]
    return kind, encode_message(RoundChange(sign_payload(RoundChangePayload(round_id), signer)))  # type: ignore[arg-type]


def far_ahead(rng: random.Random) -> Message:
    """The same for heights that no chain has reached."""
    return signed_by_a_stranger(rng, range(FAR_HEIGHT, FAR_HEIGHT + 1_000))


def large_proposal(rng: random.Random) -> Message:
    """A proposal of 100 kB that is none."""
    return PROPOSAL, rng.randbytes(100_000)


KINDS: tuple[Callable[[random.Random], Message], ...] = (malformed, signed_by_a_stranger, far_ahead, large_proposal)


async def make_noise(node: DevnetNode, messages: list[Message], sent: Sent) -> None:
    """Send without a pause; come back with another key when the node ends the session. What the node says to its peers
    (requests, new blocks) is read: a peer that does not read is left for that alone."""
    while True:
        try:
            stranger = await Stranger.meet(node)
            sent.count("sessions")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send, stranger, messages, sent)
                try:
                    await _read(stranger)
                finally:
                    nursery.cancel_scope.cancel()
        except* (ConnectionFailedError, OSError):
            sent.count("sessions ended")
        await trio.sleep(0.05)


async def _send(stranger: Stranger, messages: list[Message], sent: Sent) -> None:
    while True:
        for code, data in messages:
            await stranger.send_consensus(code, data)
            sent.count("messages")


async def _read(stranger: Stranger) -> None:
    while True:
        frame = await stranger.connection.receive()
        if frame.message_id == DISCONNECT:
            raise ConnectionFailedError("the node disconnected")
        if frame.message_id == PING:
            await stranger.connection.send(PONG, EMPTY_LIST)


async def noise(manifest: Manifest, sent: Sent) -> None:
    """Three sessions at each validator."""
    rng = random.Random(5)
    messages = [rng.choice(KINDS)(rng) for _ in range(DIFFERENT_MESSAGES)]
    async with trio.open_nursery() as nursery:
        for node in manifest.nodes:
            for _ in range(SESSIONS):
                nursery.start_soon(make_noise, node, messages, sent)


ATTACKS = (LoadAttack("consensus-noise", "strangers send IBF/1 messages as fast as they can", noise),)
