"""Measures of the code: how long a class is, how many public members it has, and how many comments a package has.

`tests/unit/test_architecture.py` holds the code to limits by them. A member is a public method, property or field of the
class, or a public attribute that its `__init__` sets. Members that the class inherits are not counted.
"""

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.plain_language import parsed


@dataclass(frozen=True, slots=True)
class ClassMeasure:
    """The length of a class in lines, its docstrings included, and the number of its public members."""

    path: Path
    name: str
    lines: int
    members: int


def measure_classes(path: Path, source: str) -> Iterator[ClassMeasure]:
    """Yield the measures of every class of a Python file."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.ClassDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield ClassMeasure(path, node.name, lines, len(_public_members(node)))


def _public_members(owner: ast.ClassDef) -> set[str]:
    names: set[str] = set()
    for statement in owner.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(statement.name)
            if statement.name == "__init__":
                names |= set(_attributes_set(statement))
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            names.add(statement.target.id)
    return {name for name in names if not name.startswith("_")}


def _attributes_set(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    attributes = [node for node in ast.walk(function) if isinstance(node, ast.Attribute)]
    for node in attributes:
        is_own = isinstance(node.value, ast.Name) and node.value.id == "self"
        if is_own and isinstance(node.ctx, ast.Store):
            yield node.attr


def comments_per_100_lines(sources: Iterable[str]) -> float:
    """Return the comment lines for each 100 lines of code. Docstrings and blank lines are neither."""
    comments = code = 0
    for source in sources:
        in_comments, in_docstrings = _comment_lines(source), _docstring_lines(source)
        comments += len(in_comments)
        for number, line in enumerate(source.splitlines(), start=1):
            is_code = line.strip() and not line.lstrip().startswith("#") and number not in in_docstrings
            code += bool(is_code)
    return 100 * comments / max(code, 1)


def _comment_lines(source: str) -> set[int]:
    """The lines with a comment for people. Comments for tools (`noqa`, `type:`, `fmt:`) do not count."""
    return {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith(("# type:", "# noqa", "# fmt:"))
    }


def _docstring_lines(source: str) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines
