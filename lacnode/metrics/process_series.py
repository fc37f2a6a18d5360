"""The series of this process: processor time, memory, files, and Python's memory under the names of the JVM's.

A dashboard for Besu asks for the JVM's memory and garbage collection. Here the heap is the resident memory of the process,
and garbage collection is Python's. Must not know the node.
"""

import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lacnode.metrics.metrics_settings import MetricCategory
from lacnode.metrics.series import MetricSample, MetricSeries, MetricType, counter, gauge

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MACHINE_BYTES = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
_START_TICKS_AT = 19
"""Position of the start time in `/proc/self/stat`, behind the name of the program."""


class _CollectionTimes:
    """The number and the seconds of Python's garbage collections in this process since it was made."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self._began = 0.0
        # One object for a process, made once: Python calls every entry of this list at each collection.
        gc.callbacks.append(self._collected)

    def _collected(self, phase: str, _: Mapping[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
            return
        self.count += 1
        self.seconds += time.perf_counter() - self._began


_collections = _CollectionTimes()


def process_series(client_version: str) -> Iterator[MetricSeries]:
    """Yield the series of this process as the operating system sees it. `client_version` is what `web3_clientVersion`
    answers. The values are read from the system at each reading, except the start of the process, which is read once
    here."""
    yield MetricSeries(
        MetricCategory.PROCESS,
        "process_release",
        MetricType.GAUGE,
        "1 for the release of this node",
        lambda: [MetricSample(1, {"version": client_version})],
    )
    started = process_start_seconds()
    process = MetricCategory.PROCESS
    yield counter(process, "cpu_seconds_total", "Processor time in seconds", time.process_time)
    yield gauge(process, "start_time_seconds", "Start of the process in Unix seconds", lambda: started)
    yield gauge(process, "open_fds", "Open file descriptors", lambda: len(os.listdir("/proc/self/fd")))
    yield gauge(process, "max_fds", "File descriptors that may be open", lambda: _limit(resource.RLIMIT_NOFILE))
    yield gauge(process, "virtual_memory_bytes", "Virtual memory", lambda: _memory_pages()[0] * _PAGE_BYTES)
    yield gauge(process, "resident_memory_bytes", "Resident memory", resident_bytes)


def runtime_series() -> Iterator[MetricSeries]:
    """Yield the series of Python's memory, garbage collection and threads under the JVM's names. Those of the memory
    come twice, in the spellings of both generations of Prometheus's Java client."""
    yield from _memory("used", "Memory of this process in use", resident_bytes)
    yield from _memory("committed", "Memory of this process that the system has given", resident_bytes)
    yield from _memory("max", "Memory of the machine", lambda: _MACHINE_BYTES)
    yield MetricSeries(
        MetricCategory.JVM,
        "jvm_gc_collection_seconds",
        MetricType.SUMMARY,
        "Garbage collections of Python",
        lambda: [
            MetricSample(_collections.count, {"gc": "python"}, "_count"),
            MetricSample(_collections.seconds, {"gc": "python"}, "_sum"),
        ],
    )
    yield gauge(MetricCategory.JVM, "threads_current", "Threads of Python", threading.active_count)
    yield gauge(
        MetricCategory.JVM,
        "threads_daemon",
        "Threads of Python that do not hold up the end of the process",
        lambda: sum(thread.daemon for thread in threading.enumerate()),
    )
    labels = {
        "version": sys.version.split()[0],
        "vendor": "Python Software Foundation",
        "runtime": sys.implementation.name,
    }
    yield MetricSeries(
        MetricCategory.JVM,
        "jvm_info",
        MetricType.GAUGE,
        "1 for the version of Python",
        lambda: [MetricSample(1, labels)],
    )


def opentelemetry_series() -> Iterator[MetricSeries]:
    """Yield the series of Python's memory and garbage collection under the names that Besu gives the JVM's in
    OpenTelemetry."""
    yield MetricSeries(
        MetricCategory.JVM,
        "jvm.gc.collection",
        MetricType.GAUGE,
        "Time of Python's garbage collections in milliseconds",
        lambda: [MetricSample(_collections.seconds * 1000, {"gc": "python"})],
    )
    yield MetricSeries(
        MetricCategory.JVM, "jvm.memory.area", MetricType.GAUGE, "Memory of this process in bytes", _memory_areas
    )


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    return _memory_pages()[1] * _PAGE_BYTES


def _memory_areas() -> Iterator[MetricSample]:
    resident = resident_bytes()
    for kind, heap_bytes in (("used", resident), ("committed", resident), ("max", _MACHINE_BYTES)):
        yield MetricSample(heap_bytes, {"type": kind, "area": "heap"})
        yield MetricSample(0, {"type": kind, "area": "non_heap"})


def _memory(kind: str, text: str, value: Callable[[], float]) -> Iterator[MetricSeries]:
    def samples() -> list[MetricSample]:
        # Python has one kind of memory. Panels add both areas.
        return [MetricSample(value(), {"area": "heap"}), MetricSample(0, {"area": "nonheap"})]

    for name in (f"jvm_memory_bytes_{kind}", f"jvm_memory_{kind}_bytes"):
        yield MetricSeries(MetricCategory.JVM, name, MetricType.GAUGE, text, samples)


def _memory_pages() -> tuple[int, int]:
    """Return the pages of virtual and of resident memory."""
    virtual, resident, *_ = Path("/proc/self/statm").read_text().split()
    return int(virtual), int(resident)


def _limit(kind: int) -> float:
    soft, _ = resource.getrlimit(kind)
    return float("inf") if soft == resource.RLIM_INFINITY else soft


def process_start_seconds() -> float:
    """Return the start of this process in Unix seconds, with fractions, as `/proc` has it."""
    # The name of the program is in parentheses and may hold blanks, so the fields are counted behind it.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    return int(boot.split()[1]) + int(fields[_START_TICKS_AT]) / _CLOCK_TICKS
