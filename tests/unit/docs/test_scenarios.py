"""The page of scenarios names tests that exist, for every case of the reference it is made from."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "spec" / "privacy-scenarios.md"
REFERENCE = ROOT.parent / "shared" / "reference" / "privacy-orion-eea.md"
REASON = "Not tested: "


def rows(text: str) -> dict[str, list[list[str]]]:
    """The rows of the tables under each heading that begins with H and a number."""
    found: dict[str, list[list[str]]] = {}
    for section in re.split(r"^##? ", text, flags=re.MULTILINE):
        name = re.match(r"H\d", section)
        if name is not None:
            lines = [line for line in section.splitlines() if line.startswith("| ")]
            found[name[0]] = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]
    return found


def names_in(path: Path) -> Iterator[str]:
    """The tests of a file, as pytest names them."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield from (
                f"{node.name}::{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            )


SCENARIOS = [(section, row) for section, found in rows(PAGE.read_text()).items() for row in found]


@pytest.mark.parametrize(("section", "row"), SCENARIOS, ids=[f"{section}-{row[0]}" for section, row in SCENARIOS])
def test_every_case_names_a_test_that_exists_or_a_reason(section: str, row: list[str]) -> None:
    _, _, shown = row
    named = re.findall(r"`(tests/[^`:]+)::([^`]+)`", shown)
    assert named or shown.startswith(REASON)
    for file, name in named:
        assert name in names_in(ROOT / file), f"{file} has no {name}"


def test_no_case_of_the_reference_is_left_out() -> None:
    if not REFERENCE.exists():
        pytest.skip(f"the shared reference is not beside the repository ({REFERENCE.name})")
    expected = rows(REFERENCE.read_text())
    assert {name: len(found) for name, found in rows(PAGE.read_text()).items()} == {
        name: len(found) for name, found in expected.items()
    }
