"""The page about the interfaces between packages names classes and functions that exist."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests.support.plain_language import parsed

pytestmark = pytest.mark.xdist_group("sources")

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "design.md"
FOREIGN = {"ContextManager", "Protocol", "dataclass", "def"}


@cache
def functions_and_members() -> tuple[frozenset[str], dict[str, set[str]]]:
    """The names of all functions and classes, and the names in the body of each class."""
    functions: set[str] = set()
    members: dict[str, set[str]] = defaultdict(set)
    for file in (ROOT / "lacnode").rglob("*.py"):
        for node in ast.walk(parsed(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                functions.add(node.name)
            if isinstance(node, ast.ClassDef):
                members[node.name] |= {name for child in ast.walk(node) for name in _names_of(child)}
    return frozenset(functions), members


def _names_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    return [node.id] if isinstance(node, ast.Name) else []


def test_the_functions_in_its_code_exist() -> None:
    functions, _ = functions_and_members()
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    code = "\n".join(line.split("#")[0] for block in blocks for line in block.splitlines())
    named = set(re.findall(r"(?<![.\w])(\w+)\(", code))
    assert len(named) > 60
    assert sorted(named - functions - FOREIGN) == []


def test_the_members_in_its_sentences_exist() -> None:
    _, members = functions_and_members()
    text = re.sub(r"```.*?```", "", PAGE.read_text("utf-8"), flags=re.DOTALL)
    named = [(owner, name) for owner, name in re.findall(r"`(?:\w+\.)*([A-Z]\w+)\.(\w+)", text) if owner in members]
    assert len(named) >= 5
    assert [f"{owner}.{name}" for owner, name in named if name not in members[owner]] == []
