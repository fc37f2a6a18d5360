"""What every test starts from."""

import gc
import os
import threading
from collections.abc import Generator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from lacnode.evm.engine_kind import EngineKind
from tests.support import engines
from tests.support.logs import NETWORK_THREAD

os.environ.setdefault("LACNODE_EVM", "PYTHON")
"""Nodes that tests start as processes execute on py-evm, whether the native library is there or not: some tests count on how
slow it is. LACNODE_EVM=NATIVE has them execute on the other engine."""

hypothesis.settings.register_profile("lacnode", deadline=None)
hypothesis.settings.load_profile("lacnode")
"""No test is timed: on a busy machine an example takes as long as it takes."""


gc.set_threshold(100_000, 20, 100)
"""A tenth of the time went into looking for cycles."""


SLOW_FOLDERS = ("simulation", "integration", "interop", "siege")
"""Folders of tests that run for long, in the order in which they run. All other tests run before them."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no cycles in modules and tests, which stay until the end: they are millions of objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the fast tests first, so that a mistake shows at once."""
    items.sort(key=lambda item: _position(item.path))


def _position(path: Path) -> int:
    folder = path.relative_to(Path(__file__).parent).parts[0]
    return SLOW_FOLDERS.index(folder) + 1 if folder in SLOW_FOLDERS else 0


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


@pytest.fixture(scope="module", params=engines.KINDS, ids=lambda kind: kind.value)
def engine_kind(request: pytest.FixtureRequest) -> EngineKind:
    """Run the tests of a module on each engine, for fixtures that live as long as the module."""
    kind: EngineKind = request.param
    reason = engines.why_skipped(kind)
    if reason is not None:
        pytest.skip(reason)
    return kind


@pytest.fixture(params=engines.KINDS, ids=lambda kind: kind.value)
def each_engine(request: pytest.FixtureRequest) -> Iterator[EngineKind]:
    """Run the test on each engine: what `engines.engine` makes is of this kind."""
    kind: EngineKind = request.param
    reason = engines.why_skipped(kind)
    if reason is not None:
        pytest.skip(reason)
    engines.use(kind)
    yield kind
    engines.use(engines.DEFAULT_KIND)
