"""Building the block that this validator proposes: its vote, its vanity, and candidates of the pool.

Must not decide when to build, and must not outlast its budget: a block that is late is worth less than one that is
small.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from lacnode.chain.blockchain import Blockchain
from lacnode.chain.transaction_selection import TransactionCandidate
from lacnode.consensus.bft.extra_data import VANITY_BYTES, ExtraData
from lacnode.consensus.bft.vote_proposer import VoteProposer
from lacnode.evm.base_fee import next_base_fee
from lacnode.evm.budget import ExecutionBudget
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader

CandidateSource = Callable[[int | None], Iterable[TransactionCandidate]]
"""The pool's candidates in the order of inclusion, for a block with that base fee (None before London)."""


class PoolBlockCreator:
    """Builds on the head of `chain` for the validator at `address` (20 bytes).

    `candidate_source` gives the transactions of the pool, and `vote_proposer` the votes. `selection_share` is the part of
    the block period (0 to 1) that choosing transactions may take. `vanity` is cut or filled with leading zeros to 32
    bytes, as Besu does with `--miner-extra-data`.
    """

    def __init__(
        self,
        chain: Blockchain,
        address: bytes,
        vote_proposer: VoteProposer,
        candidate_source: CandidateSource,
        *,
        vanity: bytes = b"",
        selection_share: float = 0.75,
    ) -> None:
        self._chain = chain
        self._address = address
        self._vote_proposer = vote_proposer
        self._candidates = candidate_source
        self._vanity = vanity[:VANITY_BYTES].rjust(VANITY_BYTES, b"\0")
        self._selection_share = selection_share

    def build(self, height: int, round_: int, timestamp: int, budget: ExecutionBudget) -> Block:
        """Return the block for (height, round). StaleHeightError if the head is not block `height` - 1 when this
        begins, ExecutionCancelledError when `budget` is cancelled or an import begins, BlockRefusedError if no valid
        block can be made, StorageError if the state cannot be read. `timestamp` is in Unix seconds. The block has the
        round and no seals. It has the next of the wanted votes that would change something (`VoteProposer.next_vote`),
        and none if a contract names the validators."""
        parent = self._parent(height)
        # The base fee decides the order of the candidates, and which of them can pay.
        candidates = self._candidates(next_base_fee(self._chain.spec, parent, timestamp))
        return self._build(parent, self._extra_data(parent, round_), timestamp, candidates, budget)

    def has_transaction(self, height: int, round_: int, timestamp: int, budget: ExecutionBudget) -> bool:
        """Return whether the block for (height, round) would have a transaction. The parameters and errors are those of
        `build`. No vote is used up.
        """
        parent = self._parent(height)
        candidates = iter(self._candidates(next_base_fee(self._chain.spec, parent, timestamp)))
        first = next(candidates, None)
        # Most searches end here: a network that waits for transactions has none.
        if first is None:
            return False
        # By a block that is built up to its first transaction. Any other rule could find what no proposer can mine, and
        # each height would lose a round. No vote: building a block takes the next one of several votes.
        extra = self._extra_data(parent, round_, votes=False)
        block = self._build(parent, extra, timestamp, _until_included(chain([first], candidates)), budget)
        return bool(block.transactions)

    def _parent(self, height: int) -> BlockHeader:
        # The head is read once, and every part of the block belongs to this one. An import may set the next head while
        # the block is built.
        header = self._chain.head.header
        if header.number + 1 != height:
            raise StaleHeightError(f"block {height} was to be built, but the head is {header.number}")
        return header

    def _build(
        self,
        parent: BlockHeader,
        extra: ExtraData,
        timestamp: int,
        candidates: Iterable[TransactionCandidate],
        budget: ExecutionBudget,
    ) -> Block:
        height = parent.number + 1
        period = self._chain.spec.ibft.parameters_at(height).block_period_ms / 1000
        # Choosing may not take the whole period: closing the block and the messages of the round need time too.
        deadline = time.monotonic() + self._selection_share * period
        extra_data = self._chain.protocols.protocol_at(height).encode_extra_data(extra)
        return self._chain.build_block(timestamp, self._address, extra_data, candidates, deadline, budget)

    def _extra_data(self, parent: BlockHeader, round_: int, *, votes: bool = True) -> ExtraData:
        if self._chain.spec.ibft.parameters_at(parent.number + 1).validator_contract is not None:
            # The contract names the validators. A header that lists them, or has a vote, would be refused.
            return ExtraData(self._vanity, (), None, round_)
        # The validators of the header are those after the parent's vote. A block with other validators would be
        # refused.
        tally = self._chain.tally_after(parent)
        vote = self._vote_proposer.next_vote(self._address, tally) if votes else None
        return ExtraData(self._vanity, tally.validators, vote, round_)


class _WatchedCandidate:
    """A candidate that remembers whether it was included."""

    def __init__(self, candidate: TransactionCandidate) -> None:
        self.transaction, self.sender, self.is_expected_slow = (
            candidate.transaction,
            candidate.sender,
            candidate.is_expected_slow,
        )
        self.interrupted, self.skipped, self.dropped = candidate.interrupted, candidate.skipped, candidate.dropped
        self.is_included = False
        self._candidate = candidate

    def included(self) -> None:
        """The transaction is in the block."""
        self.is_included = True
        self._candidate.included()


def _until_included(candidates: Iterable[TransactionCandidate]) -> Iterator[TransactionCandidate]:
    """The candidates, up to the first one that is included."""
    for candidate in candidates:
        watched = _WatchedCandidate(candidate)
        yield watched
        if watched.is_included:
            return


class StaleHeightError(Exception):
    """The building of a block began too late: the head has moved on, and the block would not follow it."""
