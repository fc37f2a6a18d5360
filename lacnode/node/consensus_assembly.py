"""Builds the parts of consensus: the validator with its journal, its votes, and its wait before the first signature.

Must not sign: the validator does when it runs.
"""

import time
from dataclasses import dataclass
from functools import partial

from lacnode.consensus.bft.controller import BftController, ConsensusStatus
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.message_buffers import MessageLimits as ConsensusLimits
from lacnode.consensus.bft.vote_proposer import VoteProposer
from lacnode.node.chain_assembly import ChainParts
from lacnode.node.consensus_network import PeerConsensusNetwork
from lacnode.node.peer_assembly import PeerParts
from lacnode.node.peer_expulsion import PeerExpulsion
from lacnode.node.round_zero_proposals import RoundZeroProposals
from lacnode.node.shared_objects import SharedObjects
from lacnode.node.signing_wait import SigningWait
from lacnode.validator.block_creator import PoolBlockCreator
from lacnode.validator.validator import Validator
from lacnode.workers.worker import ThreadWorker


@dataclass(frozen=True, slots=True)
class ConsensusParts:
    """The parts of consensus. The validator runs after `signing_wait`."""

    vote_proposer: VoteProposer
    validator: Validator
    signing_wait: SigningWait

    def status(self) -> ConsensusStatus:
        """The status of agreement, as RPC shows it. Until the signing wait is over, it says why this node does not
        sign.
        """
        return self.validator.machine.status if self.signing_wait.is_over else self.signing_wait.status


def build_consensus_parts(shared: SharedObjects, chain: ChainParts, peers: PeerParts) -> ConsensusParts:
    """Return the parts of consensus. The journal is restored from the records on the disk. OSError if their file cannot
    be read, RlpError if they are malformed, OtherProtocolError if they hold a prepared block of another protocol."""
    records, vote_proposer = shared.resources.records, VoteProposer()
    # The journal comes from the records on the disk: a restart must know every payload that may be signed.
    journal = Journal.restore(records.records(), chain.chain.protocols, head=chain.chain.head.header.number)
    signing_wait = SigningWait(
        chain.chain,
        shared.peers,
        shared.key.address,
        shared.state_change.next_event,
        journal,
        lambda record: shared.log_worker.run(partial(records.append, record)),
    )
    validator = _build_validator(shared, chain, peers, journal, vote_proposer)
    return ConsensusParts(vote_proposer, validator, signing_wait)


def _build_validator(
    shared: SharedObjects, chain: ChainParts, peers: PeerParts, journal: Journal, vote_proposer: VoteProposer
) -> Validator:
    mining = shared.config.mining
    # One state machine serves all protocols of the chain. A limit that a later one raises must be there at its first block.
    steps = [parameters for _, parameters in shared.spec.ibft.steps]
    limits = ConsensusLimits(
        gossiped_history=max(parameters.gossiped_history_limit for parameters in steps),
        duplicate_messages=max(parameters.duplicate_message_limit for parameters in steps),
        future_messages=max(parameters.future_messages_limit for parameters in steps),
        future_distance=max(parameters.future_messages_max_distance for parameters in steps),
    )
    return Validator(
        BftController(shared.key.address, journal, chain.chain.protocols, limits),
        journal=journal,
        records=shared.resources.records,
        signer=shared.key,
        chain=chain.chain,
        block_creator=PoolBlockCreator(
            chain.chain,
            shared.key.address,
            vote_proposer,
            lambda base_fee: chain.pool.candidates(base_fee, time.time()),
            vanity=mining.vanity,
            selection_share=mining.selection_share,
        ),
        network=PeerConsensusNetwork(
            shared.peers, peers.synchronizer, peers.blocks, PeerExpulsion(shared.peer_set.deny)
        ),
        proposal_worker=ThreadWorker(),
        state_worker=shared.state_worker,
        log_worker=shared.log_worker,
        # A proposal of 15 MB takes two seconds to decode. The node's stop must not wait for it.
        reading_worker=ThreadWorker(abandons_on_cancel=True),
        # A key in an HSM may hang. The node's stop must not wait for it.
        signing_worker=ThreadWorker(abandons_on_cancel=True),
        now_ms=lambda: int(shared.resources.pacing.now() * 1000),
        may_run_timers=shared.resources.pacing.may_run_timers,
        message_limit=max(parameters.message_queue_limit for parameters in steps),
        proposes_round_zero=RoundZeroProposals(shared.spec, shared.peers).are_needed_for,
    )
