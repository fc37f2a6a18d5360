"""Verifies one block on its parent: header rules, body, execution, and the results of the execution.

The order is from cheap to expensive: a block with an obvious fault costs no execution. This file must not store anything.
"""

import time
from collections.abc import Callable, Sequence

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.body_rules import check_body, check_gas_prices_are_zero, check_outcome, outcome_matches
from lacnode.chain.gas_limit import goquorum_gas_limit_floor
from lacnode.chain.internal_errors import refusing_internal_errors
from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.bft.extra_data import VANITY_BYTES
from lacnode.consensus.bft.header_rules import (
    HeaderContext,
    HeaderRefusedError,
    check_all_but_seals_and_clock,
    check_proposed_header_rules,
    check_sealed_header_rules,
    check_with_unknown_validators,
    seconds_beyond_clock_tolerance,
)
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.protocols import protocols_of
from lacnode.evm.base_fee import next_base_fee
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import ExecutedBlock, ExecutionEngine, ExecutionError, SystemCallError
from lacnode.permissioning.account_permissions import ALLOW_ALL_ACCOUNTS, AccountPermissions
from lacnode.permissioning.contract_reader import ContractUnreadableError, StateUnavailableError
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.rlp import RlpError
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.storage.storage_errors import StorageCorruptError

HeaderCheck = Callable[[BftProtocol, BlockHeader, HeaderContext], None]
"""A check of `consensus.bft.header_rules`: `check_proposed_header_rules`, `check_all_but_seals_and_clock`,
`check_sealed_header_rules` or `check_with_unknown_validators`."""


class BlockVerifier:
    """Checks blocks by the rules of one network. Nothing is stored. `now` returns the wall clock in Unix seconds."""

    def __init__(
        self,
        spec: ChainSpec,
        engine: ExecutionEngine,
        now: Callable[[], float],
        permissions: AccountPermissions = ALLOW_ALL_ACCOUNTS,
    ) -> None:
        self._spec = spec
        self._protocols = protocols_of(spec)
        self._engine = engine
        self._now = now
        self._permissions = permissions
        self._log = RateLimitedLog("chain", time.monotonic)

    def check_proposed_header(
        self,
        header: BlockHeader,
        parent: BlockHeader,
        parent_hash: bytes,
        validators: tuple[bytes, ...],
        *,
        is_prepared: bool,
    ) -> None:
        """Return if `header` keeps the rules for proposals. Raises BlockRefusedError, with the name of the rule,
        otherwise. The seals are not looked at.

        `parent_hash` has 32 bytes, and `validators` are those of this block, ascending (20-byte addresses).
        `is_prepared`: a quorum prepared the block in an earlier round. Some rules are not checked then: those about
        vanity and base fee that Besu does not have, and on GoQuorum's chains those that GoQuorum does not check.
        """
        self._check_header(check_proposed_header_rules, header, parent, parent_hash, validators, is_agreed=is_prepared)
        # A quorum of validators without these rules may have prepared a block, and some may have committed it. Without
        # the votes of this validator the height might never end.
        if not is_prepared:
            self._check_new_header(header, parent)

    def check_sealed_header(
        self,
        header: BlockHeader,
        parent: BlockHeader,
        parent_hash: bytes,
        validators: tuple[bytes, ...],
        *,
        seals_verified: bool,
    ) -> None:
        """Return if `header` keeps the rules for sealed headers, with the seals of a quorum. Raises BlockRefusedError,
        with the name of the rule, otherwise. A timestamp in the future is logged and accepted. The rules that this node
        has for proposals alone, about vanity and base fee, are not checked.

        `parent_hash` has 32 bytes, and `validators` are those of this block, ascending (20-byte addresses).
        `seals_verified`: the seals of this very header were verified before, and are not verified again.
        """
        check = check_all_but_seals_and_clock if seals_verified else check_sealed_header_rules
        self._check_header(check, header, parent, parent_hash, validators, is_agreed=True)
        # A sealed block is accepted with a timestamp in the future: a quorum of clocks is right, and ours is wrong.
        ahead = seconds_beyond_clock_tolerance(header, self._now())
        if ahead > 0:
            self._log_late_clock(header, ahead)

    def check_header_of_unknown_validators(self, header: BlockHeader, parent: BlockHeader, parent_hash: bytes) -> None:
        """Check a header whose validators a contract names in a state that is not here yet. Its seals, its coinbase and
        its distance from the clock are not verified. `parent_hash` has 32 bytes.

        Raises BlockRefusedError, with the name of the rule, if `header` breaks a rule.
        """
        self._check_header(check_with_unknown_validators, header, parent, parent_hash, (), is_agreed=True)

    def _log_late_clock(self, header: BlockHeader, ahead: float) -> None:
        """Log that a quorum sealed a timestamp which is in the future here. At most once a minute."""
        text = "this node's clock is behind: a quorum of validators sealed a block with a later timestamp"
        self._log.warning(
            text, text, number=header.number, timestamp=header.timestamp, timestamp_seconds_ahead=round(ahead)
        )

    def _check_header(
        self,
        check: HeaderCheck,
        header: BlockHeader,
        parent: BlockHeader,
        parent_hash: bytes,
        validators: tuple[bytes, ...],
        *,
        is_agreed: bool,
    ) -> None:
        """Raises BlockRefusedError. `is_agreed`: a quorum prepared or decided the block."""
        fork, parameters = self._fork(header), self._spec.ibft.parameters_at(header.number)
        context = HeaderContext(
            parent=parent,
            parent_hash=parent_hash,
            validators=validators,
            now=self._now(),
            block_period_ms=parameters.block_period_ms,
            base_fee_market=fork >= Fork.LONDON,
            # London may begin at this block. Only then the gas limit may double.
            london_activation=fork >= Fork.LONDON > self._fork(parent),
            lists_validators=parameters.validator_contract is None,
            goquorum_gas_limit_floor=goquorum_gas_limit_floor(self._spec, header.number),
            # Other validators do not have these rules. Without the block this node would stand still for good.
            by_goquorum=is_agreed and parameters.follows_goquorum,
        )
        try:
            with refusing_internal_errors(header.number):
                check(self._protocols.protocol_at(header.number), header, context)
        except HeaderRefusedError as refused:
            raise BlockRefusedError(refused.rule, str(refused)) from None

    def _check_new_header(self, header: BlockHeader, parent: BlockHeader) -> None:
        """Check the rules for new blocks, which Besu does not have. Raises BlockRefusedError. A decided block may break
        them, and must be imported."""
        vanity = self._protocols.extra_data(header).vanity
        if len(vanity) > VANITY_BYTES:
            # Besu writes 32 bytes. With more, one validator could fill the database of every node.
            raise BlockRefusedError("vanity", f"a vanity of {len(vanity)} bytes, {VANITY_BYTES} at most were expected")
        # With `fixedBaseFee` every validator has a base fee of its own, and no later one follows from it.
        if self._spec.constant_base_fee is not None and not self._spec.zero_base_fee:
            return
        expected = next_base_fee(self._spec, parent, header.timestamp)
        if header.base_fee != expected:
            # All later base fees follow from it: one validator could make gas unaffordable for a thousand blocks.
            text = f"base fee {header.base_fee} was proposed, {expected} follows the parent"
            raise BlockRefusedError("base-fee", text)

    def check_body(self, block: Block) -> None:
        """Return if the body fits the header and the fork, and if no transaction has a gas price where the chain allows
        none (GoQuorum's chains). Raises BlockRefusedError otherwise, also after an internal error. Signatures of
        transactions are not verified."""
        with refusing_internal_errors(block.number):
            check_body(block, self._fork(block.header))
            if not self._spec.may_have_gas_price_at(block.number):
                check_gas_prices_are_zero(block)

    def execute_and_check(
        self,
        block: Block,
        parent: BlockHeader,
        ancestor_hash: Callable[[int], bytes | None],
        budget: ExecutionBudget,
    ) -> ExecutedBlock:
        """Execute `block` on the state after `parent` and compare the results with its header. Nothing is stored. The
        rules for the header and the body are not checked.

        Raises BlockRefusedError if a transaction is invalid, if its sender may not send it, if a system call fails, if
        the results differ from the header, or after an internal error. Raises ExecutionInterruptedError if `budget` is
        used up or cancelled, and StorageError if the state cannot be read.
        """
        with refusing_internal_errors(block.number):
            return self._execute(block, parent, ancestor_hash, budget)

    def _execute(
        self,
        block: Block,
        parent: BlockHeader,
        ancestor_hash: Callable[[int], bytes | None],
        budget: ExecutionBudget,
    ) -> ExecutedBlock:
        try:
            # Not every protocol has the creator in the coinbase. The results belong to the header itself.
            seen = self._protocols.execution_header(block.header)
            executed = self._engine.execute(parent.state_root, seen, block.transactions, ancestor_hash, budget)
            # One engine may be wrong where another is right. A block is refused only after the judgement of both.
            if not outcome_matches(block.header, executed):
                executed = self._engine.outcome_of_contradicted_block(
                    executed, parent.state_root, seen, block.transactions, ancestor_hash, budget
                )
        except RlpError as error:
            raise BlockRefusedError("extra-data", str(error)) from None
        except SystemCallError as error:
            raise BlockRefusedError("system-call", str(error)) from None
        except ExecutionError as error:
            raise BlockRefusedError("transaction", str(error)) from None
        # After the execution: a wrong result is cheaper to find than the answers of the rules contract.
        check_outcome(block.header, executed)
        self._check_senders(block, executed.senders, parent, budget)
        return executed

    def _check_senders(
        self, block: Block, senders: Sequence[bytes], parent: BlockHeader, budget: ExecutionBudget
    ) -> None:
        for index, (transaction, sender) in enumerate(zip(block.body.transactions, senders, strict=True)):
            # The gas bounds one answer. A thousand slow answers would last longer than the round.
            budget.check()
            try:
                decision = self._permissions.may_be_in_block(transaction, sender, parent)
            except StateUnavailableError as missing:
                # This node lacks the state. The block may be valid.
                raise StorageCorruptError(
                    f"the senders of block {block.number}: the state before it {missing}"
                ) from None
            except ContractUnreadableError as unreadable:
                raise BlockRefusedError(
                    "account-permission", f"transaction {index}: the account contract {unreadable}"
                ) from None
            if not decision.allowed:
                raise BlockRefusedError(
                    "account-permission",
                    f"transaction {index}: Sender {to_hex(sender)} is not on the Account Allowlist: {decision}",
                )

    def _fork(self, header: BlockHeader) -> Fork:
        return self._spec.forks.fork_at(header.number, header.timestamp)
