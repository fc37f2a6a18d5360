"""The selection of official state tests that lies beside the repository, through our engine."""

from pathlib import Path

import pytest

from tests.conformance.execution import Verdict, run_state_test
from tests.conformance.fixtures import read_state_tests

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "state-tests"
if not FOLDER.is_dir():
    pytest.skip("the folder `shared/data/state-tests` is not beside the repository", allow_module_level=True)

pytestmark = [
    pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode:DeprecationWarning"),
    pytest.mark.usefixtures("each_engine"),
]

LEFT_TO_MAKE_CONFORMANCE = frozenset({"stAttackTest", "stQuadraticComplexityTest", "stTimeConsuming", "vmPerformance"})
"""Directories whose tests take seconds each by design."""

FILES = [
    str(path.relative_to(FOLDER))
    for path in sorted(FOLDER.rglob("*.json"))
    if LEFT_TO_MAKE_CONFORMANCE.isdisjoint(path.parts)
]


@pytest.mark.parametrize("file", FILES)
def test_state_root_logs_and_refusal(file: str) -> None:
    outcomes = {test.name: run_state_test(test) for test in read_state_tests(FOLDER / file)}
    assert outcomes, "no test of a fork that we have"
    failed = [f"{name}: {outcome.reason}" for name, outcome in outcomes.items() if outcome.verdict is Verdict.FAILED]
    assert failed == []
