"""What every test starts from."""

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_as_imported() -> None:
    """Logging is the process': a test that runs a node configures it, and the next must not inherit its level."""
    structlog.reset_defaults()
