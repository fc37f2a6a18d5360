"""Tests of one group run in one worker: they share a network, or ports that a file names."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="these tests run in one process")
@pytest.mark.xdist_group("alone")
def test_groups_are_kept_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist tells its scheduler by the id; with a pytest that it does not know, it tells nothing."""
    assert request.node.nodeid.endswith("@alone"), "run with --dist loadgroup, as `make test` does"
