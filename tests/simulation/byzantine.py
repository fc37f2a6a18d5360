"""Validators that lie, each with a valid key: what up to f of them may try.

Each is an interceptor on what an otherwise ordinary node sends. They sign with the node's real key, so nothing they
send can be refused for its signature alone.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from lacnode.consensus.ibft2.block_hash import committed_seal_hash
from lacnode.consensus.ibft2.message_validation import Committee
from lacnode.consensus.ibft2.messages import Commit, Prepare, Proposal, RoundChange, decode_envelope, decode_message
from lacnode.consensus.ibft2.payloads import (
    COMMIT,
    PREPARE,
    PROPOSAL,
    ROUND_CHANGE,
    CommitPayload,
    PreparedCertificate,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
    sign_payload,
)
from lacnode.crypto.node_identity import Signer
from lacnode.primitives.block import Block, BlockBody
from tests.simulation.ledger import TRANSACTION
from tests.simulation.network import Interceptor, SimulatedNetwork

P = TypeVar("P", ProposalPayload, PreparePayload, CommitPayload, RoundChangePayload)

Behaviour = Callable[[SimulatedNetwork, int, random.Random], Interceptor]


def equivocator(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Proposes two blocks to two halves, and prepares and commits whatever it hears of."""
    node = network.nodes[index]
    signer = node.key

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        others = sorted(recipients)
        rng.shuffle(others)
        half = frozenset(others[: len(others) // 2])
        if code == PROPOSAL:
            proposal = decode_message(code, data)
            assert isinstance(proposal, Proposal)
            round_id = proposal.signed.payload.round_id
            block = node.disk.ledger.make_block(
                node.address, round_id.round, proposal.block.header.timestamp, b"two %d" % rng.randrange(1 << 30)
            )
            signed = signed_by(ProposalPayload(round_id, committed_seal_hash(block.header)), signer)
            other = Proposal(signed, block, proposal.certificate).encode()
            network.transmit(source, code, data, recipients - half)
            network.transmit(source, code, other, half)
            _vote_for(network, index, signed.payload, half)
            return True
        return False

    return intercept


def _vote_for(network: SimulatedNetwork, index: int, payload: ProposalPayload, recipients: frozenset[bytes]) -> None:
    """Send a Commit for a proposal of our own to `recipients`."""
    signer = network.nodes[index].key
    commit = Commit(signed_by(CommitPayload(payload.round_id, payload.digest), signer))
    network.transmit(index, COMMIT, commit.encode(), recipients)


def signed_by(payload: P, signer: Signer) -> SignedPayload[P]:
    """`payload` signed by a liar's key, without a journal that would mind."""
    signed = sign_payload(payload, signer)
    assert isinstance(signed.payload, type(payload))
    return SignedPayload(signed.payload, signed.signature, signed.author)


def withholder(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Keeps back commits, or everything, as it likes."""

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        if code == COMMIT or rng.random() < 0.3:
            some = frozenset(address for address in sorted(recipients) if rng.random() < 0.3)
            network.transmit(source, code, data, some)
            return True
        return False

    return intercept


def forger(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Sends round changes with certificates it made up or that are stale, to any round, besides the true ones."""
    node = network.nodes[index]
    signer = node.key
    certificates: list[RoundChange] = []

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        if code != ROUND_CHANGE:
            return False
        message = decode_message(code, data)
        assert isinstance(message, RoundChange)
        payload = message.signed.payload
        certificates.append(message)
        stale = rng.choice(certificates)
        forged = RoundChangePayload(
            type(payload.round_id)(payload.round_id.sequence, payload.round_id.round + rng.randrange(4)),
            stale.signed.payload.certificate,
        )
        lie = RoundChange(signed_by(forged, signer), stale.block).encode()
        some = frozenset(address for address in sorted(recipients) if rng.random() < 0.5)
        network.transmit(source, code, lie, some)
        network.transmit(source, code, data, recipients - some)
        return True

    return intercept


def usurper(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """In rounds that are justified by round changes it proposes a block of its own, with too few of them."""
    node = network.nodes[index]
    signer = node.key

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        message = decode_message(code, data)
        if not isinstance(message, Proposal) or message.signed.author != node.address or not message.certificate:
            return False
        round_id = message.signed.payload.round_id
        block = node.disk.ledger.make_block(
            node.address, round_id.round, message.block.header.timestamp, b"usurped %d" % rng.randrange(1 << 30)
        )
        signed = signed_by(ProposalPayload(round_id, committed_seal_hash(block.header)), signer)
        silent = tuple(asked for asked in message.certificate if asked.payload.certificate is None)
        network.transmit(source, code, Proposal(signed, block, silent).encode(), recipients)
        _vote_for(network, index, signed.payload, recipients)
        return True

    return intercept


def pretender(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Claims in its round changes that a block of its own was prepared, later than any other and by nobody."""
    node = network.nodes[index]
    signer = node.key

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        round_id, author = decode_envelope(code, data)
        if code != ROUND_CHANGE or author != node.address:
            return False
        claimed = round_id.round + rng.randrange(5)
        timestamp = node.disk.ledger.head.timestamp + 2
        block = node.disk.ledger.make_block(node.address, claimed, timestamp, b"pretended %d" % rng.randrange(1 << 30))
        proposal = ProposalPayload(RoundId(round_id.sequence, claimed), committed_seal_hash(block.header))
        certificate = PreparedCertificate(signed_by(proposal, signer), ())
        lie = RoundChange(signed_by(RoundChangePayload(round_id, certificate), signer), block)
        network.transmit(source, code, lie.encode(), recipients)
        return True

    return intercept


def hurrier(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Answers everything with a round change to a far round, one that lasts for hours and is its own to propose in."""
    node = network.nodes[index]
    signer = node.key

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        height = decode_envelope(code, data)[0].sequence
        committee = Committee(height, network.addresses, node.disk.ledger.head.coinbase)
        far = next(
            number for number in range(20, 20 + len(network.nodes)) if committee.proposer(number) == node.address
        )
        lie = RoundChange(signed_by(RoundChangePayload(RoundId(height, far), None), signer), None)
        network.transmit(source, ROUND_CHANGE, lie.encode(), recipients)
        return True

    return intercept


def replayer(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Sends again what was once said, whoever said it."""
    heard: list[tuple[int, bytes]] = []
    node = network.nodes[index]
    take = node.receive

    def receive(code: int, data: bytes, sender: bytes) -> None:
        if len(heard) < 500:
            heard.append((code, data))
        take(code, data, sender)

    node.receive = receive  # type: ignore[method-assign]

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        for _ in range(min(3, len(heard))):
            old_code, old = rng.choice(heard)
            network.transmit(source, old_code, old, recipients)
        return False

    return intercept


def garbler(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Bytes flipped, cut, grown; codes exchanged; votes of its own for digests of nothing."""
    signer = network.nodes[index].key

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        garbled = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            garbled[rng.randrange(len(garbled))] ^= 1 << rng.randrange(8)
        other_code, cut = rng.choice((code, rng.randrange(4))), bytes(garbled[: rng.randrange(len(data) + 1)])
        network.transmit(source, other_code, cut, recipients)
        network.transmit(source, code, bytes(garbled), recipients)
        message = decode_message(code, data)
        if isinstance(message, Prepare):
            nothing = PreparePayload(message.signed.payload.round_id, rng.randbytes(32))
            network.transmit(source, PREPARE, Prepare(signed_by(nothing, signer)).encode(), recipients)
        return rng.random() < 0.3

    return intercept


def body_swapper(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Passes on the blocks of others with another body. Only the digest of a block is signed, so every signature holds."""
    own = network.addresses[index]

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        message = decode_message(code, data)
        if not isinstance(message, Proposal | RoundChange) or message.signed.author == own or message.block is None:
            return False
        transactions = (*message.block.transactions, TRANSACTION) if rng.random() < 0.8 else ()
        swapped = Block(message.block.header, BlockBody(transactions))
        network.transmit(source, code, replace(message, block=swapped).encode(), recipients)
        return rng.random() < 0.8

    return intercept


BEHAVIOURS: dict[str, Behaviour] = {
    "equivocator": equivocator,
    "withholder": withholder,
    "forger": forger,
    "usurper": usurper,
    "pretender": pretender,
    "hurrier": hurrier,
    "replayer": replayer,
    "garbler": garbler,
    "body_swapper": body_swapper,
}
