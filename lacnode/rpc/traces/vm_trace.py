"""The steps of a transaction as a tree, as Besu's TRACE methods show them (`vmTrace`).

Besu looks for the step after a call by its position and depth. What it shows follows from that search, so this file
searches in the same way.
"""

from bisect import bisect_right
from collections import defaultdict

from lacnode.evm.trace_opcodes import CALLS, CREATES, RETURN, count_produced_items
from lacnode.evm.trace_record import HaltReason, TracedStep, TracedTransaction
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.traces.call_depth import check_call_depth

_SHOWN_HALTS = (HaltReason.INVALID_JUMP_DESTINATION, HaltReason.INSUFFICIENT_GAS, HaltReason.ILLEGAL_STATE_CHANGE)
"""Errors with which Besu shows the step. With others it leaves the step out."""

_WITH_MEMORY = frozenset({"CALLDATACOPY", "CODECOPY", "EXTCODECOPY", "MLOAD", "MSTORE", "MSTORE8", "RETURNDATACOPY"})

Node = dict[str, object]


STEP_BYTES, ITEM_BYTES = 130, 70
"""Estimated bytes of JSON text for a step, and for an item that it pushes. Code and memory come on top."""


def vm_trace(traced: TracedTransaction, size: AnswerSize) -> Node:
    """Return the tree of the steps of `traced` in Besu's form. The steps must have been recorded (`TraceDetail.STEPS`).
    The bytes are added to `size`. RpcError if `size` is above its bound then, or if calls are nested too deep."""
    check_call_depth(traced)
    return _Maker(traced, size).run()


def _tree(code: str = "0x") -> Node:
    return {"code": code, "ops": []}


class _Maker:
    """Makes the tree of one transaction."""

    def __init__(self, traced: TracedTransaction, size: AnswerSize) -> None:
        self._traced = traced
        self._size = size
        self._steps = traced.steps
        self._by_position: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._returns: dict[int, list[int]] = defaultdict(list)
        self._root = _tree()
        self._parents = [self._root]
        self._shown = 0
        self._last_depth = 0
        self._has_begun = False

    def run(self) -> Node:
        for index, step in enumerate(self._steps):
            self._by_position[step.pc, step.depth].append(index)
            if step.opcode == RETURN:
                self._returns[step.depth].append(index)
        if self._steps and self._traced.to is None:
            self._root["code"] = to_hex(self._traced.data)
        for index, step in enumerate(self._steps):
            self._add(step, self._steps[index + 1] if index + 1 < len(self._steps) else None)
        return self._root

    def _add(self, step: TracedStep, following: TracedStep | None) -> None:
        if self._has_begun and step.depth < self._last_depth and self._parents:
            self._parents.pop()
        if self._is_ignored(step):
            return
        self._has_begun = True
        tree = self._parents[-1] if self._parents else None
        self._size.add(STEP_BYTES + ITEM_BYTES * len(step.produced))
        if tree is not None and tree["code"] == "0x":
            self._size.add(2 * len(step.code))
            tree["code"] = to_hex(step.code)
        shown: Node = {"cost": step.cost, "ex": None, "pc": step.pc, "sub": None}
        report = _report(step)
        self._size.add(2 * len(step.updated_memory[1]) if step.updated_memory is not None else 0)
        if step.opcode in CALLS or step.opcode in CREATES:
            self._begin_call(step, following, shown, report)
        if not (step.depth > 0 and step.halt is HaltReason.INSUFFICIENT_GAS):
            shown["ex"] = report
        if tree is not None:
            operations = tree["ops"]
            assert isinstance(operations, list)
            operations.append(shown)
        self._shown += 1
        self._last_depth = step.depth

    def _is_ignored(self, step: TracedStep) -> bool:
        if step.name == "STOP" and len(self._steps) == 1:
            return True
        if step.halt is not None:
            return step.halt not in _SHOWN_HALTS
        return step.is_virtual

    def _begin_call(self, step: TracedStep, following: TracedStep | None, shown: Node, report: Node) -> None:
        self._note_return(step, report)
        remaining = following.gas if following is not None else 0
        cost = step.cost
        enters = following is not None and following.depth > step.depth
        if step.code:
            if enters:
                shown["cost"] = remaining + cost
                tree = _tree()
                self._parents.append(tree)
                shown["sub"] = tree
            elif step.depth == 0:
                shown["cost"] = step.gas - remaining
                self._size.add(2 * len(step.code))
                shown["sub"] = _tree(to_hex(step.code))
            return
        if step.precompile_gas is not None:
            shown["cost"] = cost + step.precompile_gas
        elif enters and step.name in ("STATICCALL", "CALL"):
            shown["cost"] = remaining + cost
        shown["sub"] = _tree()

    def _note_return(self, step: TracedStep, report: Node) -> None:
        """Add to `report` what the calling contract finds after the call of `step`."""
        if step.name in ("CALL", "DELEGATECALL"):
            found = self._after(self._returns[step.depth])
            if found is not None:
                self._size.add(2 * len(found.output))
                report["mem"] = {"data": to_hex(found.output), "off": 0}
        found = self._after(self._by_position.get((step.pc + 1, step.depth), []))
        if found is None:
            return
        report["used"] = found.gas
        if found.stack:
            report["push"] = [_quantity(found.stack[-1])]
        if step.opcode not in CREATES and found.updated_memory is not None:
            report["mem"] = _memory(found.updated_memory)

    def _after(self, indexes: list[int]) -> TracedStep | None:
        """Return the step of the first of `indexes` that is above the number of steps shown so far."""
        position = bisect_right(indexes, self._shown)
        return self._steps[indexes[position]] if position < len(indexes) else None


def _report(step: TracedStep) -> Node:
    memory = step.updated_memory if step.name in _WITH_MEMORY else None
    store = step.updated_storage
    return {
        "mem": None if memory is None else _memory(memory),
        "push": [_quantity(item) for item in step.produced] if count_produced_items(step.opcode) else [],
        "store": None if store is None else {"key": hex(store[0]), "val": hex(store[1])},
        "used": step.gas - step.cost,
    }


def _memory(updated: tuple[int, bytes]) -> Node:
    return {"data": to_hex(updated[1]), "off": updated[0]}


def _quantity(item: int | bytes) -> str:
    return hex(item if isinstance(item, int) else int.from_bytes(item))
