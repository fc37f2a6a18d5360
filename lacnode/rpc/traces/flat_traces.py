"""Flat traces: a list of the calls of a transaction, as Besu's TRACE methods show them.

Besu derives the list from the steps. What it shows in unusual cases (a call that reverts, a creation whose code is
refused, nested creations) follows from the order in which it looks at them, so this file keeps that order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lacnode.evm.trace_opcodes import (
    CALLDATALOAD,
    CALLS,
    CREATES,
    RETURN,
    REVERT,
    SELFDESTRUCT,
    STOP,
    address_of_stack_item,
)
from lacnode.evm.trace_record import TracedStep, TracedTransaction
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.answer_size import AnswerSize

TRACE_BYTES = 700
"""Estimated bytes of JSON text for a trace. Input and output come on top."""

CODE_DEPOSIT_GAS = 200
"""Gas for each byte of a new contract's code."""

CHILD_GAS_DIVISOR = 64
"""The part of its gas that a call keeps from its calls (EIP-150)."""

ZERO_ADDRESS = to_hex(bytes(20))
REVERTED = "Reverted"

_ACTION_MEMBERS = (
    "creationMethod", "callType", "from", "gas", "input", "to", "init", "author", "rewardType", "value", "address",
    "balance", "refundAddress",
)  # fmt: skip
_RESULT_MEMBERS = ("address", "code", "gasUsed", "output")


@dataclass(frozen=True, slots=True)
class TransactionPlace:
    """The place of a transaction in the chain: its block's hash (32 bytes) and number, its `position` in it from 0, and
    its own hash (32 bytes)."""

    block_hash: bytes
    block_number: int
    position: int
    transaction_hash: bytes


@dataclass(slots=True)
class _Trace:
    """One entry of the list. `result` is None for SELFDESTRUCT. `is_create_step`: an instruction made the contract."""

    action: dict[str, str]
    trace_address: list[int]
    result: dict[str, str] | None
    type: str = "call"
    error: str | None = None
    revert_reason: str | None = None
    subtraces: int = 0
    is_create_step: bool = False
    gas_used: int = field(default=0)

    def set_gas_used(self, gas: int) -> None:
        self.gas_used = gas
        if self.result is not None:
            self.result["gasUsed"] = hex(gas)

    def set_code(self, code: bytes) -> None:
        if self.result is not None:
            self.result["code"] = to_hex(code)
            self.result.pop("output", None)


def flat_traces(
    traced: TracedTransaction, size: AnswerSize, place: TransactionPlace | None = None, *, names_creation: bool = True
) -> list[dict[str, object]]:
    """Return the flat traces of `traced` in Besu's form and order, with its `place` if there is one. `names_creation`
    adds `creationMethod` to the creations. The calls must have been recorded (`TraceDetail.CALLS`). The bytes of the
    traces are added to `size`. RpcError if `size` is above its bound then."""
    maker = _Maker(traced, size)
    maker.run()
    method = "create2" if any(step.name == "CREATE2" for step in traced.steps) else "create"
    return [_shown(trace, place, method if names_creation else None) for trace in maker.traces]


def _shown(trace: _Trace, place: TransactionPlace | None, method: str | None) -> dict[str, object]:
    if trace.type == "create" and method is not None:
        trace.action["creationMethod"] = method
    shown: dict[str, object] = {"action": _ordered(trace.action, _ACTION_MEMBERS)}
    if place is not None:
        shown["blockHash"], shown["blockNumber"] = to_hex(place.block_hash), place.block_number
    if trace.error is None:
        shown["result"] = None if trace.result is None else _ordered(trace.result, _RESULT_MEMBERS)
    else:
        shown["error"] = trace.error
    if trace.revert_reason is not None:
        shown["revertReason"] = trace.revert_reason
    shown["subtraces"], shown["traceAddress"] = trace.subtraces, trace.trace_address
    if place is not None:
        shown["transactionHash"], shown["transactionPosition"] = to_hex(place.transaction_hash), place.position
    shown["type"] = trace.type
    return shown


def _ordered(members: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    return {name: members[name] for name in names if name in members}


class _Maker:
    """Makes the list of one transaction."""

    def __init__(self, traced: TracedTransaction, size: AnswerSize) -> None:
        self.traces: list[_Trace] = []
        self._traced = traced
        self._size = size
        self._steps = traced.steps
        self._reverting_depths = _reverting_depths(traced.steps)
        self._open: list[_Trace] = []
        """The calls under way, the transaction's own first."""

    def run(self) -> None:
        self._add(self._first())
        for index, step in enumerate(self._steps):
            self._look_at(step, is_last=index + 1 == len(self._steps))
            if step.halt is not None:
                self._halt(step)
            if not self._open:
                return

    def _add(self, trace: _Trace) -> None:
        action = trace.action
        self._size.add(TRACE_BYTES + len(action.get("input", "")) + len(action.get("init", "")) + 3 * len(self._open))
        self.traces.append(trace)
        self._open.append(trace)

    def _first(self) -> _Trace:
        """Return the trace of the transaction's own call."""
        traced = self._traced
        trace = _Trace(
            {"from": to_hex(traced.sender), "value": hex(traced.value)}, [], {"gasUsed": "0x0", "output": "0x"}
        )
        if self._steps:
            trace.action["gas"] = hex(self._first_gas())
        if traced.revert_reason is not None:
            trace.revert_reason = to_hex(traced.revert_reason)
        if traced.to is not None:
            trace.action.update({"to": to_hex(traced.to), "callType": "call", "input": to_hex(traced.data)})
            if self._steps and 0 in self._reverting_depths:
                trace.error = REVERTED
        else:
            trace.type = "create"
            trace.action["init"] = to_hex(traced.data)
            trace.set_code(traced.output)
            assert trace.result is not None
            trace.result["address"] = to_hex(traced.created or b"")
        if self._steps and self._steps[0].precompile_gas is not None:
            trace.set_gas_used(self._steps[0].precompile_gas)
        return trace

    def _first_gas(self) -> int:
        first, call = self._steps[0], self._traced.call
        if call is None or call.is_precompile:
            return first.gas + (first.precompile_gas or 0)
        return call.gas

    def _look_at(self, step: TracedStep, *, is_last: bool) -> None:
        if step.opcode in CALLS:
            self._call(step)
        elif step.opcode == CALLDATALOAD:
            self._open[-1].action["value"] = hex(step.value)
        elif step.opcode in (RETURN, STOP):
            self._return(step)
        elif step.opcode == SELFDESTRUCT and step.halt is None:
            self._self_destruct(step)
        elif step.opcode in CREATES and (step.halt is None or step.depth == 0):
            self._create(step, is_last)
        elif step.opcode == REVERT:
            self._open[-1].error = REVERTED
            self._close()

    def _close(self) -> None:
        """End the current call."""
        self._open.pop()
        if self._open:
            self._open[-1].subtraces += 1

    def _address_of_next(self) -> list[int]:
        return [trace.subtraces for trace in self._open]

    # -- what begins a call --------------------------------------------------------------------------------------

    def _call(self, step: TracedStep) -> None:
        # Calls without instructions of their own are not in the list: those of precompiles, and those not made.
        if not step.enters_call or step.call is None:
            return
        action = {
            "from": _calling_address(self._open[-1]),
            "input": to_hex(step.call.input),
            "gas": hex(step.call.gas),
            "callType": step.name.lower(),
            "value": hex(step.value),
            "to": to_hex(address_of_stack_item(step.stack[-2])),
        }
        trace = _Trace(action, self._address_of_next(), {"gasUsed": "0x0", "output": "0x"})
        if step.depth + 1 in self._reverting_depths:
            trace.error = REVERTED
        self._add(trace)

    def _create(self, step: TracedStep, is_last: bool) -> None:
        created = self._traced.created
        sender = to_hex(created) if created is not None else _calling_address(self._open[-1])
        gas, value, address = _creation(step, is_last)
        action = {"from": sender, "gas": hex(gas), "value": hex(value), "init": to_hex(step.code)}
        result = {"gasUsed": "0x0", "output": "0x", "address": to_hex(address)}
        self._add(_Trace(action, self._address_of_next(), result, "create", is_create_step=True))

    # -- what ends a call ----------------------------------------------------------------------------------------

    def _return(self, step: TracedStep) -> None:
        trace = self._open[-1]
        trace.action["value"] = hex(step.value)
        trace.set_gas_used(self._gas_used(trace, step))
        self._size.add(2 * len(step.output))
        if trace.result is not None and "code" not in trace.result:
            trace.result["output"] = to_hex(step.output)
        if "callType" not in trace.action:
            trace.action["init"] = to_hex(step.code)
            trace.set_code(step.output)
            if trace.is_create_step:
                trace.set_gas_used(trace.gas_used + CODE_DEPOSIT_GAS * len(step.output))
        self._close()

    def _gas_used(self, trace: _Trace, step: TracedStep) -> int:
        if len(self._open) > 1:
            return int(trace.action["gas"], 16) - step.gas
        call, left = self._traced.call, self._traced.gas_returned
        before = step.gas if call is None else call.gas
        refund = left - step.gas if left > step.gas else step.refund
        return before - left + refund

    def _self_destruct(self, step: TracedStep) -> None:
        trace = self._open[-1]
        trace.set_gas_used(int(trace.action["gas"], 16) - step.gas + step.cost)
        action = {
            "address": _destroyed_address(trace, step),
            "refundAddress": to_hex(address_of_stack_item(step.stack[-1])),
            "balance": hex(step.swept_wei),
        }
        self._size.add(TRACE_BYTES)
        self.traces.append(_Trace(action, self._address_of_next(), None, "suicide"))
        trace.subtraces += 1
        self._close()

    def _halt(self, step: TracedStep) -> None:
        assert step.halt is not None
        trace = self._open[-1] if self._open else self.traces[-1]
        trace.error = step.halt.value
        if self._open:
            trace.action["value"] = hex(step.value)
            self._close()


def _reverting_depths(steps: Sequence[TracedStep]) -> set[int]:
    """Return the depths at which a REVERT comes before any RETURN. Besu shows all calls at such a depth as reverted."""
    first: dict[int, int] = {}
    for step in steps:
        # Besu begins with the second step.
        if step.opcode in (REVERT, RETURN) and (step.depth or step.pc):
            first.setdefault(step.depth, step.opcode)
    return {depth for depth, opcode in first.items() if opcode == REVERT}


def _creation(step: TracedStep, is_last: bool) -> tuple[int, int, bytes]:
    """Return the gas and the value of the creation that `step` begins, and the new address. Of a creation that is not
    made Besu shows what it finds in the next step."""
    call = step.call
    if call is None and is_last:
        value, address = 0, bytes(20)
    elif call is None:
        value, address = step.value, step.recipient
    else:
        value, address = call.value, call.to
    if step.cost and step.gas >= step.cost:
        left = step.gas - step.cost
        return left - left // CHILD_GAS_DIVISOR, value, address
    return (0 if is_last else step.gas - step.cost), value, address


def _calling_address(trace: _Trace) -> str:
    """Return the address of the contract that runs in `trace`."""
    kind = trace.action.get("callType")
    if kind is None:
        return (trace.result or {}).get("address", ZERO_ADDRESS) if trace.type == "create" else ZERO_ADDRESS
    return trace.action.get("to" if kind in ("call", "staticcall") else "from", ZERO_ADDRESS)


def _destroyed_address(trace: _Trace, step: TracedStep) -> str:
    kind = trace.action.get("callType")
    if kind is None:
        return to_hex(step.recipient)
    return trace.action["to" if kind == "call" else "from"]
