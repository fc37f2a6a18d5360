"""The pytest plugin. pytest loads it by its entry point in every suite that has lacnode installed.

Must import nothing of the node before a test requests the fixture: suites that never use it load this module too.
"""

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lacnode.testing.running_network import RunningNetwork


@pytest.fixture(scope="session")
def lacnode_network() -> "Iterator[RunningNetwork]":
    """Four validators with a block every 0.2 s, shared by the whole session. The first test that requests it starts
    them, and the end of the session stops them. NetworkFailedError if they have no block 1 in 30 s, and at the end of
    the session if the network failed meanwhile."""
    # Loaded by name: an import at the top of the file would slow down the start of every suite.
    network = importlib.import_module("lacnode.testing.running_network")
    with network.running_network() as running:
        yield running
