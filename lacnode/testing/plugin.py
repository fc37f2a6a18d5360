"""The pytest plugin, loaded by its entry point in every suite that has lacnode installed.

Must import nothing of the node before a fixture is asked for: it is loaded by suites that never use it.
"""

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lacnode.testing.running_network import RunningNetwork


@pytest.fixture(scope="session")
def lacnode_network() -> "Iterator[RunningNetwork]":
    """Four validators with a block every 0.2 s, shared by the whole session."""
    network = importlib.import_module("lacnode.testing.running_network")
    with network.running_network() as running:
        yield running
