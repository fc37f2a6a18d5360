"""py-evm's computations, one a call, fitted to networks with large blocks and to what a genesis may choose.

py-evm keeps every nested call with its memory, stack and input until the transaction is over: a hostile transaction makes
that gigabytes at these networks' gas limits. Here a call that is over leaves behind only what still counts.
"""

from types import SimpleNamespace
from typing import Any

from eth.exceptions import FullStack, InsufficientStack, OutOfGas
from eth.vm.stack import Stack

from lacnode.chainspec.forks import Fork
from lacnode.evm.precompiles.py_evm_precompiles import replace_precompiles
from lacnode.evm.py_evm_code import Code
from lacnode.evm.py_evm_meter import BudgetMeter
from lacnode.evm.transaction_validation import MAX_CODE_BYTES

DEFAULT_STACK_ITEMS = 1024

RIPEMD160 = bytes(19) + b"\x03"
"""The precompile that stays touched even by a call that failed: an accident of Ethereum's history that Besu keeps."""


class FinishedCalls:
    """What still counts of the finished calls of a computation, and of the calls below them: refunds, deleted and
    touched addresses, and logs. It takes the place of py-evm's list of these calls, and has the methods that py-evm
    asks of its members. Addresses that were called are among the beneficiaries: both are touched (EIP-161)."""

    is_error = False
    children: tuple[Any, ...] = ()
    msg = SimpleNamespace(to=b"")

    def __init__(self, state: Any) -> None:
        self.state = state
        self._refund = 0
        self._deleted: set[bytes] = set()
        self._touched: set[bytes] = set()
        self._logs: list[Any] = []

    def add(self, call: Any) -> None:
        """Take over the refunds, deletions, touched addresses and logs of `call`, which has just ended."""
        below = call.children[0] if call.children else FinishedCalls(self.state)
        # A failed call leaves nothing behind, nor do the calls below it.
        if call.is_error:
            if call.msg.to == RIPEMD160 or RIPEMD160 in below._touched:
                self._touched.add(RIPEMD160)
            return
        self._refund += call._gas_meter.gas_refunded + below._refund
        self._deleted.update(call.accounts_to_delete, below._deleted)
        self._touched.update(call.beneficiaries, below._touched)
        # A creation has an empty `to`. Its new account is not empty, so EIP-161 need not know it.
        if call.msg.to:
            self._touched.add(call.msg.to)
        self._logs = _joined(self._logs, _joined(below._logs, call._log_entries))

    def get_gas_refund(self) -> int:
        """The gas that the calls have earned as refund, before the limit of the fork."""
        return self._refund

    def get_accounts_for_deletion(self) -> set[bytes]:
        """The addresses (20 bytes) that destroyed themselves."""
        return self._deleted

    def get_self_destruct_beneficiaries(self) -> set[bytes]:
        """The addresses (20 bytes) that were called or received a balance."""
        return self._touched

    def get_raw_log_entries(self) -> list[Any]:
        """The logs as py-evm has them, each with its number. They are not in order."""
        return self._logs


def _joined(left: list[Any], right: list[Any]) -> list[Any]:
    """Both in the longer one. Py-evm restores their order by the number in each entry."""
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    longer.extend(shorter)
    return longer


def computation_class(base: Any, fork: Fork, code_size_limit: int | None, stack_size: int) -> Any:
    """A subclass of `base`, py-evm's computation class of a fork, with a network's limits: `code_size_limit` in bytes
    (None for the fork's own) and `stack_size` in words."""

    class NetworkComputation(base):  # type: ignore[misc]
        _precompiles = replace_precompiles(base.get_precompiles(), fork)

        def __init__(self, state: Any, message: Any, context: Any) -> None:
            super().__init__(state, message, context)
            self.code = Code(message.code)
            if stack_size != DEFAULT_STACK_ITEMS:
                self._stack = LimitedStack(stack_size)

        @property
        def is_origin_computation(self) -> bool:
            """Whether it is the transaction's own call. py-evm asks whether the origin made it. Since EIP-7702 the
            origin may also have code that makes calls: a creation of its would pay for its init code twice."""
            return bool(self.msg.depth == 0)

        def _configure_gas_meter(self) -> Any:
            # A call without code, or with too little gas for its precompile, charges nothing. It may have copied
            # megabytes of its caller's memory as its input, and its caller may make a hundred of them between two looks.
            self.state.budget.check()
            meter = super()._configure_gas_meter()
            # py-evm's meter does not ask a budget. It is made only to take its gas and its rule for refunds from it.
            return BudgetMeter(meter.start_gas, meter.refund_strategy, self.metered_budget)

        @property
        def metered_budget(self) -> Any:
            """What the gas meter asks again and again whether the execution may go on."""
            return self.state.budget

        def __exit__(self, *raised: Any) -> Any:
            is_suppressed = super().__exit__(*raised)
            if self.is_error:
                # The traceback refers to the call itself, which would keep its input, memory and output until the next
                # collection of garbage: hundreds of megabytes in a loop of failing calls, or in a block of them.
                self.error.__traceback__ = self.error.__context__ = None
            return is_suppressed

        def add_child_computation(self, child_computation: Any) -> None:
            super().add_child_computation(child_computation)
            # py-evm has appended the call with its memory. This is where it is given up.
            self.children.pop()
            if not self.children:
                self.children.append(FinishedCalls(self.state))
            self.children[0].add(child_computation)

    # A network with the ordinary limit keeps py-evm's own rule, with its own errors.
    if code_size_limit not in (None, MAX_CODE_BYTES):
        NetworkComputation.validate_contract_code = _code_rule(code_size_limit, fork)
    return NetworkComputation


def _code_rule(limit: int | None, fork: Fork) -> Any:
    """Return the rule for the size of code, and from London on for its first byte (EIP-3541)."""

    def validate_contract_code(cls: Any, code: bytes) -> None:
        if limit is not None and len(code) > limit:
            raise OutOfGas(f"code of {len(code)} bytes, above this network's limit of {limit}")
        if fork >= Fork.LONDON and code[:1] == b"\xef":
            raise OutOfGas("code that begins with 0xEF")

    return classmethod(validate_contract_code)


class LimitedStack(Stack):
    """A stack of at most `size` words (`evmStackSize` of the genesis). Pushing beyond them raises py-evm's
    FullStack."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def _room(self) -> None:
        if len(self.values) >= self._size:
            raise FullStack(f"stack limit of {self._size} reached")

    def push_int(self, value: int) -> None:
        """Push a number of 256 bits. FullStack if the stack has `size` words."""
        self._room()
        self._append(value)

    def push_bytes(self, value: bytes) -> None:
        """Push at most 32 bytes. FullStack if the stack has `size` words."""
        self._room()
        self._append(value)

    def dup(self, position: int) -> None:
        """Push a copy of the item at `position` from the top, which is 1. FullStack if the stack has `size` words,
        InsufficientStack if there is no such item."""
        self._room()
        if position > len(self.values):
            raise InsufficientStack(f"nothing to duplicate at depth {position}")
        self._append(self.values[-position])
