"""Building the block that this validator proposes: its vote, its vanity, and candidates of the pool.

Must not decide when to build, and must not outlast its budget: a block that is late is worth less than one that is
small.
"""

import time
from collections.abc import Callable, Iterable

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
    """Builds on the head of `chain` for the validator at `address`.

    `selection_share` is the part of the block period (0 to 1) that choosing transactions may take. `vanity` is cut or
    filled with leading zeros to 32 bytes, as Besu does with `--miner-extra-data`.
    """

    def __init__(
        self,
        chain: Blockchain,
        address: bytes,
        vote_proposer: VoteProposer,
        offer: CandidateSource,
        *,
        vanity: bytes = b"",
        selection_share: float = 0.75,
    ) -> None:
        self._chain = chain
        self._address = address
        self._vote_proposer = vote_proposer
        self._candidates = offer
        self._vanity = vanity[:VANITY_BYTES].rjust(VANITY_BYTES, b"\0")
        self._selection_share = selection_share

    def build(self, height: int, round_: int, timestamp: int, budget: ExecutionBudget) -> Block:
        """Return the block for (height, round). StaleHeightError if the head has moved on meanwhile,
        ExecutionCancelledError when `budget` is cancelled, BlockRefusedError if no valid block can be made.
        `timestamp` is in seconds."""
        head = self._chain.head
        # The head is read once, and every part below belongs to this one. An import may set the next head while the
        # block is built.
        if head.header.number + 1 != height:
            raise StaleHeightError(f"block {height} was to be built, but the head is {head.header.number}")
        extra = self._extra_data(head.header, round_)
        period = self._chain.spec.ibft.parameters_at(height).block_period_ms / 1000
        # Choosing may not take the whole period: closing the block and the messages of the round need time too.
        deadline = time.monotonic() + self._selection_share * period
        extra_data = self._chain.protocols.at(height).encode_extra_data(extra)
        # The base fee decides the order of the candidates, and which of them can pay.
        candidates = self._candidates(next_base_fee(self._chain.spec, head.header, timestamp))
        return self._chain.build_block(timestamp, self._address, extra_data, candidates, deadline, budget)

    def _extra_data(self, parent: BlockHeader, round_: int) -> ExtraData:
        if self._chain.spec.ibft.parameters_at(parent.number + 1).validator_contract is not None:
            # The contract names the validators. A header that lists them, or has a vote, would be refused.
            return ExtraData(self._vanity, (), None, round_)
        # The validators of the header are those after the parent's vote. A block with other validators would be
        # refused.
        tally = self._chain.tally_after(parent)
        vote = self._vote_proposer.next_vote(self._address, tally)
        return ExtraData(self._vanity, tally.validators, vote, round_)


class StaleHeightError(Exception):
    """The head moved on before the block was built."""
