"""The developers' pages name files and functions that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "developers"
REFERENCE = re.compile(r"`(lacnode/[\w/]+\.py):([\w.]+)`")
FILE = re.compile(r"`((?:lacnode|tests)/[\w/]+\.py)`")
DIRECTORY = re.compile(r"`(lacnode(?:/\w+)*/)`")


def text_of(page: str) -> str:
    return (PAGES / page).read_text("utf-8")


def references() -> list[tuple[str, str]]:
    pages = sorted(page.name for page in PAGES.glob("*.md"))
    return sorted({found for page in pages for found in REFERENCE.findall(text_of(page))})


@cache
def names_in(file: str) -> frozenset[str]:
    """Functions, classes, `Class.function` and constants of a file."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            functions = (child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))
            found.update(f"{node.name}.{function.name}" for function in functions)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            names = (name for name in ast.walk(node) if isinstance(name, ast.Name))
            found.update(name.id for name in names if isinstance(name.ctx, ast.Store))
    return frozenset(found)


@pytest.mark.parametrize(("file", "name"), references(), ids=str)
def test_a_function_or_constant_that_a_page_names_exists(file: str, name: str) -> None:
    assert name in names_in(file)


@pytest.mark.parametrize("page", ["map.md", "where.md", "how-to.md", "lifecycles.md"])
def test_a_file_that_a_page_names_exists(page: str) -> None:
    text = text_of(page)
    missing = [path for path in FILE.findall(text) + DIRECTORY.findall(text) if not (ROOT / path).exists()]
    assert missing == []


def test_each_lifecycle_has_steps() -> None:
    sections = text_of("lifecycles.md").split("\n## ")[1:]
    assert len(sections) == 5
    assert all(len(REFERENCE.findall(section)) >= 8 for section in sections)


def test_the_map_has_every_package() -> None:
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in (ROOT / "lacnode").rglob("__init__.py")}
    assert packages - set(DIRECTORY.findall(text_of("map.md"))) == set()
