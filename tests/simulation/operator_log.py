"""What the nodes of a simulation log, kept by node instead of printed."""

from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog

Notes = Counter[tuple[int, str]]
"""How often node `index` said something on a topic of `effects.WriteLogLine`."""

_node: ContextVar[tuple[int, Notes] | None] = ContextVar("simulated_node", default=None)


def log_as(index: int, notes: Notes) -> None:
    """From now on the current task, and all that it starts, log as node `index`."""
    _node.set((index, notes))


@contextmanager
def collected_logs() -> Iterator[None]:
    """Count notes, print nothing."""
    before = structlog.get_config()
    structlog.configure(processors=[_collect], wrapper_class=structlog.make_filtering_bound_logger(20))
    try:
        yield
    finally:
        structlog.configure(**before)


def _collect(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    node, topic = _node.get(), event.get("topic")
    if node is not None and topic is not None:
        index, notes = node
        notes[index, topic] += 1
    raise structlog.DropEvent
