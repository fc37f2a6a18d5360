"""A `Ledger` with the face of `chain.Blockchain`, as far as validator, synchronizer and peers look at it.

Headers, seals and bodies are verified by the production `BlockVerifier`. There is no execution, only the time that it takes.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from lacnode.chain.block_errors import BlockRefusedError, UnknownParentError
from lacnode.chain.block_verifier import BlockVerifier
from lacnode.chain.head import Head
from lacnode.chain.header_chain import VerifiedHeaderChain
from lacnode.chain.verified_headers import VerifiedHeaders
from lacnode.chainspec.genesis import parse_genesis
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.bft.vote_tally import VoteTally
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import ExecutionEngine
from lacnode.evm.rejection import RejectionReason
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError
from tests.simulation.ledger import TRANSACTION, Ledger, Rules
from tests.simulation.worker import Effort, TimePasses


@dataclass(slots=True)
class Speeds:
    """How long work takes on this node, and how far its clock is off, in milliseconds. `slowness` stretches execution:
    what is left of a processor that answers RPC calls besides."""

    build_ms: int = 3
    check_ms: int = 3
    import_ms: int = 2
    disk_ms: int = 0
    sign_ms: int = 0
    clock_skew_ms: int = 0
    slowness: float = 1.0


@functools.cache
def spec_of(rules: Rules) -> ChainSpec:
    """The chain specification of a network with these rules. Its genesis block is not that of the network."""
    section = {
        "epochlength": rules.epoch_length,
        "xblockperiodmilliseconds": rules.block_period_ms,
        "requesttimeoutseconds": rules.request_timeout_ms // 1000,
    }
    qbft = {**section, "xemptyblockperiodseconds": rules.empty_block_period_ms // 1000}
    sections = {rules.protocol_name: qbft if rules.protocol_name == "qbft" else section}
    if rules.is_migration:
        sections = {"ibft2": section, "qbft": {**qbft, "startblock": rules.qbft_start_block}}
    config = {"chainId": 1, "berlinBlock": 0, **sections}
    return parse_genesis({"config": config, "difficulty": "0x1", "gasLimit": "0x989680", "alloc": {}})


class WaitingTransaction:
    """The one transaction that there is, as the pool offers it."""

    transaction, sender, is_expected_slow = TRANSACTION, bytes(20), False

    def included(self) -> None: ...
    def skipped(self) -> None: ...
    def interrupted(self, seconds: float, cause: str, *, was_held_up: bool) -> None: ...
    def dropped(self, reason: RejectionReason) -> None: ...


class SimulatedChain:
    """`touched("import")` is called before a block is stored, `imported(block)` when it is the head."""

    def __init__(
        self,
        ledger: Ledger,
        speeds: Speeds,
        now_ms: Callable[[], int],
        touched: Callable[[str], None],
        imported: Callable[[Block], None],
    ) -> None:
        self.ledger = ledger
        self.spec = spec_of(ledger.rules)
        self.protocols = ledger.protocols
        self.genesis_hash = ledger.protocols.block_hash(ledger.blocks[0].header)
        self._speeds = speeds
        self._verifier = BlockVerifier(self.spec, cast(ExecutionEngine, None), lambda: now_ms() / 1000)
        self._verified = VerifiedHeaders()
        self._touched = touched
        self._imported = imported
        self._effort = Effort(lambda: speeds.slowness)

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        header = self.ledger.head
        return Head(header, self.ledger.head_hash, 1 + header.number)

    def tally_after(self, header: BlockHeader) -> VoteTally:
        return self.ledger.tally_after(header.number)

    def validators_after(self, header: BlockHeader) -> tuple[bytes, ...]:
        return self.tally_after(header).validators

    def hash_at(self, number: int) -> bytes | None:
        return self.ledger.hash_at(number)

    def header_at(self, number: int) -> BlockHeader | None:
        return self.ledger.blocks[number].header if number < len(self.ledger.blocks) else None

    def header_of(self, hash_: bytes) -> BlockHeader | None:
        block = self.block_of(hash_)
        return None if block is None else block.header

    def block_of(self, hash_: bytes) -> Block | None:
        number = self.ledger.number_of(hash_)
        return None if number is None else self.ledger.blocks[number]

    def encoded_receipts_of(self, hash_: bytes) -> Sequence[bytes] | None:
        return None if self.ledger.number_of(hash_) is None else ()

    # -- verifying ahead of the head -----------------------------------------------------------------------------------

    def new_header_chain(self) -> VerifiedHeaderChain:
        head = self.head
        tally = self.tally_after(head.header)
        return VerifiedHeaderChain(
            head.header, head.hash, tally, self.spec.ibft, self.protocols, self._verifier, self._verified
        )

    def check_body(self, block: Block) -> None:
        self._verifier.check_body(block)
        self._verified.add_body(block)

    # -- writing -----------------------------------------------------------------------------------------------------

    def build_block(
        self,
        timestamp: int,
        coinbase: bytes,
        extra_data: bytes,
        candidates: Iterable[object],
        deadline: float,
        budget: ExecutionBudget = UNLIMITED,
    ) -> Block:
        self._effort.spend(("build", self.head.hash, extra_data), self._speeds.build_ms, budget)
        return self.ledger.block_with(coinbase, timestamp, extra_data, is_full=any(True for _ in candidates))

    def check_proposal(self, block: Block, budget: ExecutionBudget = UNLIMITED, *, is_prepared: bool = False) -> None:
        hash_, head = self._follow(block), self.head
        validators = self.validators_after(head.header)
        self._verifier.check_proposed_header(block.header, head.header, head.hash, validators, is_prepared=is_prepared)
        self._verifier.check_body(block)
        self._effort.spend(("check", hash_), self._speeds.check_ms, budget)

    def import_block(self, block: Block, budget: ExecutionBudget = UNLIMITED) -> bool:
        if self.ledger.number_of(self._hash_of(block)) is not None:
            return False
        hash_, head = self._follow(block), self.head
        self._verifier.check_sealed_header(
            block.header,
            head.header,
            head.hash,
            self.validators_after(head.header),
            seals_verified=self._verified.has(block.header),
        )
        if not self._verified.has_body(block):
            self._verifier.check_body(block)
        self._effort.spend(("import", hash_), self._speeds.import_ms, budget)
        self._touched("import")
        self.ledger.append(block, hash_)
        self._verified.remove_up_to(block.header.number)
        self._imported(block)
        return True

    @contextmanager
    def bulk_import(self) -> Iterator[None]:
        if self.ledger.bulk_from is None:
            self.ledger.bulk_from = self.ledger.head.number
        try:
            yield
        except TimePasses:
            raise
        except BaseException:
            self.ledger.bulk_from = None
            raise
        else:
            self.ledger.bulk_from = None

    def _follow(self, block: Block) -> bytes:
        """The hash of `block`, which follows the head."""
        hash_ = self._hash_of(block)
        if block.header.parent_hash == self.ledger.head_hash:
            return hash_
        if self.ledger.number_of(block.header.parent_hash) is None:
            raise UnknownParentError(block.number, block.header.parent_hash)
        raise BlockRefusedError("finality", f"block {block.number} competes with a final one")

    def _hash_of(self, block: Block) -> bytes:
        try:
            return self.protocols.block_hash(block.header)
        except RlpError as error:
            raise BlockRefusedError("extra-data", str(error)) from None
