"""The page `docs/developers/files.md`: each file of `lacnode/` with what its docstring says first.

`make file-index` writes it. `tests/unit/docs/test_file_index.py` compares it with the code.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "developers" / "files.md"

HEAD = """# All files

Each file of `lacnode/` with the first sentences of its docstring. [Where is it?](where.md) answers questions.
This page is to be searched. `make file-index` writes it from the code.
"""


def file_index() -> str:
    """Return the text of the page by the code that is here."""
    packages: dict[str, list[str]] = {}
    for path in sorted((ROOT / "lacnode").rglob("*.py")):
        if path.name != "__init__.py":
            packages.setdefault(str(path.parent.relative_to(ROOT)), []).append(_entry(path))
    return HEAD + "".join(f"\n## {package}\n\n{''.join(entries)}" for package, entries in packages.items())


def _entry(path: Path) -> str:
    tree = ast.parse(path.read_text("utf-8"))
    about = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
    return f"- `{path.relative_to(ROOT)}`: {about}\n"


if __name__ == "__main__":
    PAGE.write_text(file_index(), "utf-8")
