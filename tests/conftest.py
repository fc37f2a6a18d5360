"""What every test starts from."""

import threading
from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog

NETWORK_THREAD = "lacnode"
"""In which the network of the fixture `lacnode_network` runs, for as long as the process."""


@pytest.fixture(autouse=True)
def _logs_as_imported() -> None:
    """Logging is the process': a test that runs a node configures it, and the next must not inherit its level. What a
    network says that tests share is no test's output."""
    structlog.reset_defaults()
    structlog.configure(processors=[_unless_shared, *structlog.get_config()["processors"]])


def _unless_shared(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if threading.current_thread().name == NETWORK_THREAD:
        raise structlog.DropEvent
    return event
