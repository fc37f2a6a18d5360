"""What a node closes when it ends."""

from types import SimpleNamespace
from typing import Any

import pytest

from lacnode.node.node_resources import NodeResources


def test_a_log_that_cannot_be_closed_leaves_nothing_else_open() -> None:
    closed = []

    def refuse() -> None:
        raise OSError(5, "Input/output error")

    parts: dict[str, Any] = {
        "records": SimpleNamespace(close=refuse),
        "database": SimpleNamespace(close=lambda: closed.append("database")),
        "manager": SimpleNamespace(hosted=SimpleNamespace(close=lambda: closed.append("manager"))),
    }
    nothing: Any = None
    with pytest.raises(OSError, match="Input/output"):
        NodeResources(nothing, nothing, **parts).close()
    assert closed == ["database", "manager"]
