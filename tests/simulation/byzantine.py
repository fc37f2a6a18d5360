"""Validators that lie, each with a valid key: what up to f of them may try.

Each is an interceptor on what an otherwise ordinary node sends. They sign with the node's real key, so nothing they
send can be refused for its signature alone.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.messages import (
    NO_JUSTIFICATION,
    Commit,
    Justification,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    round_id_of,
)
from lacnode.consensus.bft.payloads import (
    CommitPayload,
    MessageKind,
    PreparedCertificate,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
)
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block, BlockBody
from tests.simulation.ledger import TRANSACTION
from tests.simulation.network import Interceptor, SimulatedNetwork

Behaviour = Callable[[SimulatedNetwork, int, random.Random], Interceptor]


def equivocator(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Proposes two blocks to two halves, and prepares and commits whatever it hears of."""
    node = network.nodes[index]
    signer = node.key

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        others = sorted(recipients)
        rng.shuffle(others)
        half = frozenset(others[: len(others) // 2])
        if network.wire.kind(code) == MessageKind.PROPOSAL:
            proposal = network.wire.read(code, data)
            assert isinstance(proposal, Proposal)
            round_id = proposal.signed.payload.round_id
            block = node.disk.ledger.make_block(
                node.address, round_id.round, proposal.block.header.timestamp, b"two %d" % rng.randrange(1 << 30)
            )
            signed = network.wire.propose(round_id, block, signer)
            _, other = network.wire.write(Proposal(signed, block, proposal.justification))
            network.transmit(source, code, data, recipients - half)
            network.transmit(source, code, other, half)
            _vote_for(network, index, signed.payload, half)
            return True
        return False

    return intercept


def _vote_for(network: SimulatedNetwork, index: int, payload: ProposalPayload, recipients: frozenset[bytes]) -> None:
    """Send a Commit for a proposal of our own to `recipients`."""
    signer = network.nodes[index].key
    commit = Commit(network.wire.sign(CommitPayload(payload.round_id, payload.digest), signer))
    network.transmit(index, *network.wire.write(commit), recipients)


def withholder(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Keeps back commits, or everything, as it likes."""

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        if network.wire.kind(code) == MessageKind.COMMIT or rng.random() < 0.3:
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
        if network.wire.kind(code) != MessageKind.ROUND_CHANGE:
            return False
        message = network.wire.read(code, data)
        assert isinstance(message, RoundChange)
        payload = message.signed.payload
        certificates.append(message)
        height = payload.round_id.sequence
        # A certificate of the other protocol has no bytes in this one.
        stale = rng.choice([one for one in certificates if network.wire.speak_alike(height, one)])
        forged = RoundChangePayload(
            type(payload.round_id)(payload.round_id.sequence, payload.round_id.round + rng.randrange(4)),
            stale.signed.payload.certificate,
        )
        _, lie = network.wire.write(RoundChange(network.wire.sign(forged, signer), stale.block, stale.prepares))
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
        message = network.wire.read(code, data)
        if not isinstance(message, Proposal) or message.signed.author != node.address:
            return False
        if not message.justification.round_changes:
            return False
        round_id = message.signed.payload.round_id
        block = node.disk.ledger.make_block(
            node.address, round_id.round, message.block.header.timestamp, b"usurped %d" % rng.randrange(1 << 30)
        )
        signed = network.wire.propose(round_id, block, signer)
        asked = message.justification.round_changes
        silent = Justification(tuple(one for one in asked if one.payload.certificate is None))
        network.transmit(source, *network.wire.write(Proposal(signed, block, silent)), recipients)
        _vote_for(network, index, signed.payload, recipients)
        return True

    return intercept


def pretender(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Claims in its round changes that a block of its own was prepared, later than any other and by nobody."""
    node = network.nodes[index]
    signer = node.key

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        round_id, author = network.wire.envelope(code, data)
        if network.wire.kind(code) != MessageKind.ROUND_CHANGE or author != node.address:
            return False
        claimed = round_id.round + rng.randrange(5)
        timestamp = node.disk.ledger.head.timestamp + 2
        block = node.disk.ledger.make_block(node.address, claimed, timestamp, b"pretended %d" % rng.randrange(1 << 30))
        proposal = network.wire.propose(RoundId(round_id.sequence, claimed), block, signer)
        certificate = PreparedCertificate(claimed, proposal.payload.digest, (), proposal)
        lie = RoundChange(network.wire.sign(RoundChangePayload(round_id, certificate), signer), block)
        network.transmit(source, *network.wire.write(lie), recipients)
        return True

    return intercept


def hurrier(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Answers everything with a round change to a far round, one that lasts for hours and is its own to propose in."""
    node = network.nodes[index]
    signer = node.key

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        height = network.wire.envelope(code, data)[0].sequence
        committee = Committee(height, network.addresses, node.disk.ledger.head.coinbase)
        far = next(
            number for number in range(20, 20 + len(network.nodes)) if committee.proposer(number) == node.address
        )
        lie = RoundChange(network.wire.sign(RoundChangePayload(RoundId(height, far), None), signer), None)
        network.transmit(source, *network.wire.write(lie), recipients)
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
        other_code = rng.choice((code, network.wire.like(code, MessageKind(rng.randrange(4)))))
        cut = bytes(garbled[: rng.randrange(len(data) + 1)])
        network.transmit(source, other_code, cut, recipients)
        network.transmit(source, code, bytes(garbled), recipients)
        message = network.wire.read(code, data)
        if isinstance(message, Prepare):
            nothing = PreparePayload(message.signed.payload.round_id, rng.randbytes(32))
            network.transmit(source, *network.wire.write(Prepare(network.wire.sign(nothing, signer))), recipients)
        return rng.random() < 0.3

    return intercept


def body_swapper(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Passes on the blocks of others with another body. Only the digest of a block is signed, so every signature holds."""
    own = network.addresses[index]

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        message = network.wire.read(code, data)
        if not isinstance(message, Proposal | RoundChange) or message.signed.author == own or message.block is None:
            return False
        transactions = (*message.block.transactions, TRANSACTION) if rng.random() < 0.8 else ()
        swapped = Block(message.block.header, BlockBody(transactions))
        network.transmit(source, *network.wire.write(replace(message, block=swapped)), recipients)
        return rng.random() < 0.8

    return intercept


def crosser(network: SimulatedNetwork, index: int, rng: random.Random) -> Interceptor:
    """Says everything in the other protocol of the chain too, with its real key, for heights which that one does not
    decide: a validator with another genesis file would."""
    signer = network.nodes[index].key

    def intercept(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        message = network.wire.read(code, data)
        if message.signed.author == signer.address:
            for protocol in network.wire.others(code):
                network.transmit(source, *_crossed(network, protocol, message, signer), recipients)
        return rng.random() < 0.3

    return intercept


def _crossed(network: SimulatedNetwork, protocol: BftProtocol, message: Message, signer: NodeKey) -> tuple[int, bytes]:
    """What `message` says, in `protocol`."""
    wire, round_id = network.wire, round_id_of(message)
    if isinstance(message, Prepare):
        return wire.write_as(protocol, Prepare(wire.sign(message.signed.payload, signer, protocol)))
    if isinstance(message, Commit):
        payload = CommitPayload(round_id, message.signed.payload.digest)
        return wire.write_as(protocol, Commit(wire.sign(payload, signer, protocol)))
    if isinstance(message, RoundChange):
        return wire.write_as(
            protocol, RoundChange(wire.sign(RoundChangePayload(round_id, None), signer, protocol), None)
        )
    extra = network.rules.protocols.extra_data(message.block.header)
    header = message.block.header.with_changes(extra_data=protocol.encode_extra_data(extra))
    block = message.block.with_header(header)
    made = protocol.justifications.proposal_payload(round_id, protocol.committed_seal_hash(header), block)
    return wire.write_as(protocol, Proposal(wire.sign(made, signer, protocol), block, NO_JUSTIFICATION))


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

CROSSING: dict[str, Behaviour] = {"crosser": crosser}
"""For networks with two protocols."""
