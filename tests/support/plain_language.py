"""Rules about names and sentences that a program can check. `tests/unit/test_words.py` applies them to the project.

Each check takes the path and the text of one Python file and returns findings: a line number and a sentence. The rules
are explained to people in `docs/developers/words.md`.
"""

import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

BANNED_FORMS = {
    r"nobody|no one knows": "say which part does not (`no peer`, `no member`)",
    r"somebody|someone|anybody|anyone": "name the actor (`a peer`, `a caller`)",
    r"whoever|whom|whose (?=own)|whatever|whichever": "name the actor or the thing",
    r"anew|lest|reckon\w*|be it|what is none|that which|not any more|any more\)": "use a common word",
    r"let go of|lets go of": "say `close`, `delete` or `release`",
    r"(?:hear|hears|heard) of": "say `receive` or `is notified`",
    r"desks?|doors?|gates?|rooms?|surroundings": "use the field's term, no metaphor",
}
"""Regular expressions, without case, and what to write instead."""

_BANNED = [(re.compile(rf"\b(?:{form})\b", re.IGNORECASE), advice) for form, advice in BANNED_FORMS.items()]
_QUOTED = re.compile(r"`[^`\n]*`")

TIME_UNITS = ("SECONDS", "MILLISECONDS", "MS", "MICROSECONDS", "NANOSECONDS", "MINUTES", "HOURS", "DAYS")
OTHER_UNITS = (
    "BYTES", "BLOCKS", "BITS", "GAS", "WEI", "RATIO", "SHARE", "FACTOR", "PERCENT", "PER_SECOND", "PER_MINUTE", "EXPONENT",
)  # fmt: skip
WITHOUT_UNIT = re.compile(r"(?:^|_)(SIZE|TIMEOUT|INTERVAL|DELAY|PERIOD|WINDOW|GRACE|PATIENCE|DEADLINE|AGE|PAUSE|WAIT)$")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """`line` counts from 1."""

    path: Path
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Prose:
    """A docstring, a comment, or a text for people (a message with at least three words)."""

    line: int
    text: str
    is_docstring: bool


@cache
def parsed(source: str) -> ast.Module:
    """The tree of a file. It is kept: parsing a file takes longer than any check, and several tests read all files."""
    return ast.parse(source)


@lru_cache(1)
def prose_of(source: str) -> tuple[Prose, ...]:
    """Every docstring, comment and message of a Python file. SyntaxError if it is not Python."""
    return tuple(_read_prose(source))


def _read_prose(source: str) -> Iterator[Prose]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Prose(token.start[0], token.string.lstrip("#: "), False)
    tree = parsed(source)
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in statements:
                yield Prose(node.lineno, node.value, True)
            elif len(node.value.split()) > 2:
                yield Prose(node.lineno, node.value, False)


def banned_words(path: Path, source: str) -> Iterator[Finding]:
    """Find words that the project does not use. Text in backticks is a name and is not read."""
    for prose in prose_of(source):
        yield from banned_words_in_text(path, prose.text, prose.line)


def banned_words_in_text(path: Path, text: str, first_line: int = 1) -> Iterator[Finding]:
    """Find the words that the project does not use in a text that begins at `first_line`."""
    for offset, line in enumerate(_QUOTED.sub("", text).split("\n")):
        for expression, advice in _BANNED:
            for found in expression.finditer(line):
                yield Finding(path, first_line + offset, f"`{found[0]}`: {advice}")


def joined_sentences(path: Path, source: str) -> Iterator[Finding]:
    """Find docstrings and comments in which a semicolon joins two facts."""
    for prose in prose_of(source):
        if prose.is_docstring and ";" in _QUOTED.sub("", prose.text):
            yield Finding(path, prose.line, "a semicolon joins two sentences: write two")


def exceptions_without_error(path: Path, source: str) -> Iterator[Finding]:
    """Find exception classes whose name does not end in `Error`."""
    classes = [node for node in ast.walk(parsed(source)) if isinstance(node, ast.ClassDef)]
    exceptions = {"Exception", "BaseException"}
    for _ in classes:  # A base may stand below its subclass in the walk. One pass for each class is enough.
        exceptions |= {node.name for node in classes if any(_is_exception(base, exceptions) for base in node.bases)}
    for node in classes:
        if node.name in exceptions and not node.name.endswith("Error"):
            yield Finding(path, node.lineno, f"the exception {node.name} does not end in `Error`")


def _is_exception(base: ast.expr, known: set[str]) -> bool:
    name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
    return name in known or name.endswith("Error")


def constants_without_unit(path: Path, source: str) -> Iterator[Finding]:
    """Find constants of a module whose name leaves their unit open.

    A float, a multiple of 1024, and a name such as `TIMEOUT` or `SIZE` need a unit. Other whole numbers are counts.
    """
    for name, value, line in _numbers(parsed(source)):
        units = (*TIME_UNITS, *OTHER_UNITS)
        if re.search(rf"(?:^|_)(?:{'|'.join(units)})(?:_|$)", name):
            continue
        if _is_float(value) or _is_binary_size(value) or WITHOUT_UNIT.search(name):
            yield Finding(path, line, f"the constant {name} does not say its unit (such as _SECONDS, _BYTES, _BLOCKS)")


def _numbers(tree: ast.Module) -> Iterator[tuple[str, ast.expr, int]]:
    for statement in tree.body:
        targets: list[ast.expr] = []
        value: ast.expr | None = None
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        for target in targets:
            pairs = [(target, value)]
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = list(zip(target.elts, value.elts, strict=False))
            for name, number in pairs:
                if isinstance(name, ast.Name) and number is not None and name.id.isupper() and _is_number(number):
                    yield name.id, number, statement.lineno


def _is_number(value: ast.expr) -> bool:
    if isinstance(value, ast.Constant):
        return isinstance(value.value, int | float) and not isinstance(value.value, bool)
    if isinstance(value, ast.BinOp):
        return _is_number(value.left) and _is_number(value.right)
    return isinstance(value, ast.UnaryOp) and _is_number(value.operand)


def _is_float(value: ast.expr) -> bool:
    return any(isinstance(node, ast.Constant) and isinstance(node.value, float) for node in ast.walk(value))


def _is_binary_size(value: ast.expr) -> bool:
    if not isinstance(value, ast.BinOp):
        return False
    is_product = isinstance(value.op, ast.Mult) and any(
        isinstance(node, ast.Constant) and node.value == 1024 for node in ast.walk(value)
    )
    return is_product or isinstance(value.op, ast.LShift)


def undocumented_errors(path: Path, source: str) -> Iterator[Finding]:
    """Find public functions that raise an error of the project without naming it in their docstring."""
    for function, owner in _functions(parsed(source)):
        if function.name.startswith("_") or owner.startswith("_") or _is_override(function):
            continue
        documentation = ast.get_docstring(function) or ""
        for name in sorted(_raised(function)):
            if name not in documentation:
                yield Finding(path, function.lineno, f"{function.name} raises {name} and its docstring does not say so")


def _functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, ""
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield member, node.name


def _is_override(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "override" for node in function.decorator_list)


def _raised(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The names of the classes that the body raises, outside inner functions, where no `except` of it takes them."""
    raised: set[str] = set()
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            if name.endswith("Error") and name[:1].isupper():
                raised.add(name)
        waiting.extend(ast.iter_child_nodes(node))
    return raised


def repeated_class_names(sources: Iterable[tuple[Path, str]]) -> Iterator[Finding]:
    """Find public classes of different files that have one name."""
    places: dict[str, list[tuple[Path, int]]] = defaultdict(list)
    for path, source in sources:
        for node in parsed(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append((path, node.lineno))
    for name, found in sorted(places.items()):
        for path, line in found[1:]:
            yield Finding(path, line, f"the class {name} stands in {found[0][0]} too: names are unique")


Check = Callable[[Path, str], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    banned_words,
    joined_sentences,
    exceptions_without_error,
    constants_without_unit,
    undocumented_errors,
)
"""The checks that read one file."""


def main(arguments: list[str]) -> int:
    """Print what the checks find in the files and folders of `arguments`. Return 1 if they find something."""
    files = [
        file for name in arguments for file in ([Path(name)] if name.endswith(".py") else Path(name).rglob("*.py"))
    ]
    found = sorted(finding for file in files for check in CHECKS for finding in check(file, file.read_text("utf-8")))
    print("\n".join(map(str, found)))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
