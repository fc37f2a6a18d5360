"""A validator whose code was changed: `python -m tests.siege.modified_validator CHANGE --config-file FILE`.

A change replaces methods of the node before it starts. The node is an ordinary one otherwise, with a valid key.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from lacnode.chain.blockchain import Blockchain
from lacnode.cli.main import main
from lacnode.consensus.bft.messages import Justification, Proposal
from lacnode.consensus.bft.payloads import ProposalPayload, RoundChangePayload, SignedPayload
from lacnode.consensus.ibft2.block_hash import committed_seal_hash
from lacnode.consensus.ibft2.extra_data import decode_extra_data, encode_extra_data
from lacnode.consensus.ibft2.messages import decode_message, encode_message
from lacnode.consensus.ibft2.payloads import PROPOSAL
from lacnode.crypto.node_key import NodeKey, load_node_key
from lacnode.devnet.manifest import FILE_NAME
from lacnode.node.network_handler import NodeNetworkHandler
from lacnode.node.node import Node
from lacnode.p2p.peer import Peer
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.hexadecimal import address_from_hex
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.ordered_root import ordered_root
from lacnode.primitives.rlp import RlpError
from lacnode.validator.block_creator import PoolBlockCreator
from lacnode.validator.signing import RecordedSigner
from tests.siege.init_codes import JUMPDESTS
from tests.siege.transactions import SiegeSender
from tests.support.ibft2_blocks import decode_envelope, sign_payload

DISTANCE_SECONDS = 0.15
"""How long a proposal travels between two validators that are far apart."""

OTHER_BLOCKS = 30
"""Blocks for one round that a validator that multiplies its proposals sends to each other validator."""

SLOW_SIGNATURE_SECONDS = 1.0
BEHIND_SECONDS = 3_600
DEEDS_FILE = "deeds.txt"
"""Where a validator that attacks writes a line for each thing it does, beside its configuration file."""

HEARD_FILE = "heard.jsonl"
"""Where a validator that records writes what it hears, under its data path."""

FIRST_SENDER = SiegeSender(NodeKey.from_private_key(keccak256(b"siege: the sender of a heavy transaction")))


def propose_heavy_blocks() -> None:
    """Every block of this validator has a transaction that never ends. It is not executed here: the state root is a
    guess, so that the block costs its author nothing."""
    build, check = PoolBlockCreator.build, Blockchain.check_proposal
    heavy = FIRST_SENDER.sign(to=None, data=JUMPDESTS)

    def build_heavy(self: PoolBlockCreator, *arguments: Any, **options: Any) -> Block:
        block = build(self, *arguments, **options)
        did("heavy blocks")
        header = block.header.with_changes(
            transactions_root=ordered_root([heavy.raw]), gas_used=block.header.gas_limit, state_root=keccak256(b"guess")
        )
        return Block(header, replace(block.body, transactions=(heavy,)))

    def check_others(self: Blockchain, block: Block, *arguments: Any, **options: Any) -> None:
        if heavy not in block.transactions:
            check(self, block, *arguments, **options)

    PoolBlockCreator.build = build_heavy  # type: ignore[method-assign]
    Blockchain.check_proposal = check_others  # type: ignore[method-assign]


def swap_bodies() -> None:
    """Relay each proposal of another validator at once, with another body under the same header."""

    def relay(node: Node, code: int, data: bytes) -> None:
        if code == PROPOSAL:
            for altered in altered_proposals(data):
                did("altered proposals")
                for other in node.network.peers:
                    other.send_consensus(PROPOSAL, altered)

    before_each_message(relay)


def before_each_message(react: Callable[[Node, int, bytes], None]) -> None:
    """Call `react` with the node, the code and the data of each consensus message, before the node receives it."""
    built: list[Node] = []
    make, receive = Node.__init__, NodeNetworkHandler.consensus_received

    def make_and_remember(self: Node, *parts: Any) -> None:
        make(self, *parts)
        built.append(self)

    def react_and_receive(self: NodeNetworkHandler, peer: Peer, code: int, data: bytes) -> None:
        react(built[0], code, data)
        receive(self, peer, code, data)

    Node.__init__ = make_and_remember  # type: ignore[method-assign,assignment]
    NodeNetworkHandler.consensus_received = react_and_receive  # type: ignore[method-assign]


def altered_proposals(data: bytes) -> list[bytes]:
    """Copies of a proposal whose header and signature are true: another body, and another certificate."""
    try:
        proposal = decode_message(PROPOSAL, data)
    except RlpError:
        return []
    assert isinstance(proposal, Proposal)
    extra = SiegeSender().transfer()
    doubled = (*proposal.block.transactions, *proposal.block.transactions[-1:])
    bodies = [BlockBody((*proposal.block.transactions, extra)), BlockBody((*doubled, extra))]
    swapped = [encode_message(replace(proposal, block=Block(proposal.block.header, body))) for body in bodies]
    other = Justification(None if proposal.justification.round_changes else ())
    return [*swapped, encode_message(replace(proposal, justification=other))]


def multiply_proposals() -> None:
    """Send each other validator many other blocks for the same round, each with its signature, and false bodies of the true
    one. The true one comes last."""
    key = load_node_key(Path(sys.argv[-1]).parent / "key")
    send = Peer.send_consensus

    def send_many(self: Peer, code: int, data: bytes, *, is_relayed: bool = False) -> None:
        if code == PROPOSAL and not is_relayed:
            for other in (*other_proposals(data, key, self.address), *altered_proposals(data)):
                did("multiplied proposals")
                send(self, PROPOSAL, other)
        send(self, code, data, is_relayed=is_relayed)

    Peer.send_consensus = send_many  # type: ignore[method-assign]


def other_proposals(data: bytes, key: NodeKey, receiver: bytes) -> list[bytes]:
    """Proposals of `key` for the round of its proposal `data`, with other blocks, which only `receiver` gets."""
    proposal = decode_message(PROPOSAL, data)
    assert isinstance(proposal, Proposal)
    header, payload = proposal.block.header, proposal.signed.payload
    extra = decode_extra_data(header.extra_data)
    others = []
    for number in range(OTHER_BLOCKS):
        vanity = receiver + number.to_bytes(32 - len(receiver))
        other = header.with_changes(extra_data=encode_extra_data(replace(extra, vanity=vanity)))
        signed = sign_payload(ProposalPayload(payload.round_id, committed_seal_hash(other)), key)
        assert isinstance(signed.payload, ProposalPayload)
        typed = SignedPayload(signed.payload, signed.signature, signed.author)
        others.append(encode_message(replace(proposal, signed=typed, block=proposal.block.with_header(other))))
    return others


def be_far_away() -> None:
    """Proposals of this validator reach the first validator at once and the others a little later."""
    send = Peer.send_consensus
    near = first_validator(Path(sys.argv[-1]))

    def send_slowly(self: Peer, code: int, data: bytes, *, is_relayed: bool = False) -> None:
        if code != PROPOSAL or self.address == near:
            send(self, code, data, is_relayed=is_relayed)
        else:
            trio.lowlevel.spawn_system_task(arrive, self, data)

    async def arrive(peer: Peer, data: bytes) -> None:
        await trio.sleep(DISTANCE_SECONDS)
        send(peer, PROPOSAL, data)

    Peer.send_consensus = send_slowly  # type: ignore[method-assign]


def did(what: str) -> None:
    """Write down that this validator has attacked: an attack that does nothing proves nothing."""
    with (Path(sys.argv[-1]).parent / DEEDS_FILE).open("a", encoding="ascii") as file:
        file.write(what + "\n")


def first_validator(config_file: Path) -> bytes:
    """The address of the devnet's validator-1, by the configuration file of any of its nodes."""
    manifest = json.loads((config_file.parents[2] / FILE_NAME).read_text("utf-8"))
    return address_from_hex(manifest["nodes"][0]["address"])


def sign_slowly() -> None:
    """Each signature takes a second, as a remote signer's may."""
    sign = RecordedSigner.sign

    def sign_late(self: RecordedSigner, payload: Any) -> Any:
        did("slow signatures")
        time.sleep(SLOW_SIGNATURE_SECONDS)
        return sign(self, payload)

    RecordedSigner.sign = sign_late  # type: ignore[method-assign]


def open_graphql() -> None:
    """Start GraphQL on any free port. The devnet's configuration has none."""
    os.environ |= {"BESU_GRAPHQL_HTTP_ENABLED": "true", "BESU_GRAPHQL_HTTP_PORT": "0"}
    did("GraphQL ports")


def set_clock_back() -> None:
    """The wall clock of this validator is an hour behind."""
    true_time = time.time
    time.time = lambda: true_time() - BEHIND_SECONDS


def record_messages() -> None:
    """Write author, kind, height, round and digest of each consensus message that comes to a file."""

    def record(node: Node, code: int, data: bytes) -> None:
        line = described(code, data)
        if line is not None:
            with (node.config.data_path / HEARD_FILE).open("a", encoding="ascii") as file:
                file.write(json.dumps(line) + "\n")

    before_each_message(record)


def described(code: int, data: bytes) -> dict[str, Any] | None:
    """What a message says, for comparison; None if it cannot be read."""
    try:
        round_id, author = decode_envelope(code, data)
        payload = decode_message(code, data).signed.payload
    except RlpError:
        return None
    return {
        "author": author.hex(),
        "code": code,
        "height": round_id.sequence,
        "round": round_id.round,
        "digest": "" if isinstance(payload, RoundChangePayload) else payload.digest.hex(),
    }


CHANGES: dict[str, tuple[Callable[[], None], ...]] = {
    "heavy-blocks": (propose_heavy_blocks,),
    "swapped-bodies": (swap_bodies,),
    "far-away": (be_far_away,),
    "multiplied-proposals": (multiply_proposals,),
    "slow-signer": (sign_slowly,),
    "graphql": (open_graphql,),
    "clock-behind": (set_clock_back,),
    "recorder": (record_messages,),
}


def run(words: list[str]) -> int:
    """Apply the change that the first word names, and run the node with the others."""
    for change in CHANGES[words[0]]:
        change()
    return main(words[1:])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
