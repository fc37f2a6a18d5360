"""The deliberate faults can be made: what they replace is there, and what comes of it is Python.

That the tests notice them takes minutes: `make mutants`.
"""

import pytest

from tests.mutants.__main__ import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.tree import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_can_be_made(mutant: Mutant) -> None:
    mutant.check(ROOT)
    compile(mutant.text(ROOT), mutant.file, "exec")
    assert mutant.text(ROOT) != (ROOT / mutant.file).read_text()
    assert all((ROOT / name).exists() for name in mutant.tests if name.startswith("tests/"))


def test_faults_are_told_apart() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({mutant.new for mutant in MUTANTS if mutant.new}) == len([mutant for mutant in MUTANTS if mutant.new])
