"""Transient storage, beside py-evm's own."""

import gc
import tracemalloc
from itertools import count
from typing import Any

from eth.vm.transient_storage import TransientStorage
from eth_typing import Address
from hypothesis import given
from hypothesis import strategies as st

from lacnode.evm.py_evm_transient_storage import CountedTransientStorage

CONTRACT = Address(b"\xcc" * 20)
SLOTS = range(4)

WRITES = st.tuples(st.sampled_from(SLOTS), st.binary(max_size=2))
ENDS = st.tuples(st.sampled_from(["commit", "discard"]), st.integers(0, 2))


@given(st.lists(st.one_of(st.just("record"), WRITES, ENDS), max_size=40))
def test_has_the_same_values_as_py_evms_after_any_calls(steps: list[Any]) -> None:
    """A call ends with all calls inside it that have not ended."""
    ours: Any = CountedTransientStorage()
    theirs: Any = TransientStorage()
    serials, marks = count(), list[tuple[int, int]]()
    for step in steps:
        if step == "record":
            marks.append((next(serials), 0))
            for storage in (ours, theirs):
                storage.record(marks[-1])
        elif step[0] in ("commit", "discard"):
            index = len(marks) - 1 - step[1]
            if index >= 0:
                for storage in (ours, theirs):
                    getattr(storage, step[0])(marks[index])
                del marks[index:]
        else:
            for storage in (ours, theirs):
                storage.set_transient_storage(CONTRACT, *step)
        values = [[storage.get_transient_storage(CONTRACT, slot) for slot in SLOTS] for storage in (ours, theirs)]
        assert values[0] == values[1]


def test_calls_that_have_succeeded_leave_nothing_behind() -> None:
    storage, marks = CountedTransientStorage(), [(serial, 0) for serial in range(5_001)]
    storage.record(marks[0])
    gc.collect()
    tracemalloc.start()
    try:
        for mark in marks[1:]:
            storage.record(mark)
            storage.commit(mark)
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()
