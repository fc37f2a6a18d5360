"""Names that are taken from a module by `importlib.import_module`. The check of types does not see them."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lacnode"


def late_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The module and the name of each attribute of a module of this project that `tree` imports late."""
    holders = dict(_holders(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found = _imported(node.value) or holders.get(_name(node.value))
            if found is not None:
                yield found, node.attr


def _holders(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The variables and functions that give a module: their name, and that of the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and (found := _imported(node.value)):
            yield from ((_name(target), found) for target in node.targets)
        if isinstance(node, ast.FunctionDef):
            returned = [each.value for each in node.body if isinstance(each, ast.Return)]
            yield from ((f"{node.name}()", found) for value in returned if (found := _imported(value)))


def _imported(node: ast.expr | None) -> str | None:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "import_module"):
        return None
    (argument,) = node.args
    is_ours = isinstance(argument, ast.Constant) and str(argument.value).startswith("lacnode.")
    return str(argument.value) if isinstance(argument, ast.Constant) and is_ours else None


def _name(node: ast.expr) -> str:
    return f"{node.func.id}()" if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ast.unparse(node)


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if "import_module(" in path.read_text()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_name_of_a_module_that_is_imported_late_is_there(path: Path) -> None:
    names = list(late_names(ast.parse(path.read_text())))
    assert [(module, name) for module, name in names if not hasattr(importlib.import_module(module), name)] == []


def test_the_search_finds_each_way_of_using_a_late_module() -> None:
    text = """
def _modules():
    return importlib.import_module("lacnode.graphql.answer")

def use():
    module = importlib.import_module("lacnode.graphql.schema")
    module.one, _modules().two, importlib.import_module("lacnode.graphql.live").three, importlib.import_module(name).four
"""
    found = set(late_names(ast.parse(text)))
    assert found == {
        ("lacnode.graphql.schema", "one"),
        ("lacnode.graphql.answer", "two"),
        ("lacnode.graphql.live", "three"),
    }
