"""The layers of docs/design.md, read out of every file's imports, and the limits on the size of a class."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.code_measures import ClassMeasure, comments_per_100_lines, measure_classes

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "lacnode"

LAYERS: dict[str, int] = {
    "primitives": 0,
    "crypto": 1,
    "chainspec": 2,
    "storage": 2,
    "consensus": 3,
    "evm": 3,
    "p2p.wire": 3,
    "permissioning": 3,
    "chain": 4,
    "privacy": 4,
    "privacy.manager": 4,
    "privacy.state": 4,
    "txpool": 4,
    "workers": 4,
    "http": 5,
    "ethstats": 5,
    "graphql": 5,
    "metrics": 5,
    "rpc": 5,
    "validator": 5,
    "sync": 5,
    "p2p": 5,
    "privacy.service": 5,
    "node": 6,
    "devnet": 6,
    "cli": 7,
    "testing": 7,
}

WITHIN_A_LAYER: set[tuple[str, str]] = {
    ("sync", "p2p"),
    ("rpc", "p2p"),
    ("rpc", "http"),
    ("metrics", "http"),
    ("graphql", "http"),
    ("graphql", "rpc"),
    ("ethstats", "rpc"),
    ("ethstats", "p2p"),
    ("privacy.service", "http"),
    ("rpc", "privacy.service"),
    ("permissioning", "p2p.wire"),
    ("privacy.manager", "privacy"),
    ("privacy.state", "privacy"),
    ("privacy.state", "chain"),
    ("devnet", "node"),
    ("testing", "cli"),
}
"""Imports between rooms of one layer that docs/design.md allows, one direction each."""

PURE = (
    "consensus", "p2p.wire", "primitives", "evm", "permissioning", "chain", "privacy", "privacy.manager",
    "privacy.state", "txpool", "chainspec", "storage",
    "crypto",
)  # fmt: skip
EVENT_LOOPS = {"trio", "asyncio", "anyio"}
SANS_IO = ("consensus", "p2p.wire", "primitives")
INPUT_OUTPUT = {"os", "socket", "time", "random", "secrets", "threading", "subprocess", "pathlib", "io", "select"}


MAX_CLASS_LINES = 250
MAX_CLASS_MEMBERS = 20

TABLES = {
    "Accounts": "the methods that py-evm calls on its accounts",
    "BlockHeader": "the fields of a header",
    "BlockObject": "the fields of GraphQL's Block",
    "ManagerConfig": "the keys of the manager's file",
    "NodeConfig": "the options of a node",
    "PrivateTransaction": "the fields of a private transaction",
    "Step": "the values of a step of an execution",
    "Transaction": "the fields of a transaction",
    "_Config": "the keys of the genesis file",
}
"""Classes whose members a format lists: they may have any number of them."""

WELL_COMMENTED = ("consensus", "permissioning", "privacy", "storage", "sync")
MIN_COMMENTS_PER_100_LINES = 8


def room_of(module: str) -> str | None:
    """The room of a dotted module name inside the package, None for the package's own root modules."""
    parts = module.split(".")[1:]
    if ".".join(parts[:2]) in LAYERS:
        return ".".join(parts[:2])
    return parts[0] if parts and parts[0] in LAYERS else None


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
class TestEveryFile:
    def test_imports_only_from_rooms_below(self, path: Path) -> None:
        own = room_of(module_name(path))
        for name in imported(parsed(path)):
            other = room_of(name) if name.startswith("lacnode.") else None
            if own is None or other is None or own == other:
                continue
            allowed = LAYERS[other] < LAYERS[own] or (own, other) in WITHIN_A_LAYER
            assert allowed, f"{own} (layer {LAYERS[own]}) imports {name} of {other} (layer {LAYERS[other]})"

    def test_the_core_of_consensus_knows_no_protocol(self, path: Path) -> None:
        """A new protocol is a folder, a line in the table of protocols, and a section of the genesis parser."""
        own = module_name(path)
        for name in imported(parsed(path)):
            other = name.split(".")[:3]
            if other[:2] != ["lacnode", "consensus"] or other[2:] in (["bft"], ["protocols"]):
                continue
            is_own_protocol = own.split(".")[:3] == other and other[2] != "bft"
            assert is_own_protocol or own == "lacnode.consensus.protocols", f"{own} imports {name} of one protocol"

    def test_hides_no_import_inside_a_function(self, path: Path) -> None:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                hidden = [name for child in node.body for name in imported(child)]
                assert not hidden, f"{node.name} hides imports of {hidden}"

    def test_opens_with_why_it_exists(self, path: Path) -> None:
        assert ast.get_docstring(parsed(path)), "a module opens with why it exists and what it must not do"

    def test_pure_rooms_know_no_event_loop(self, path: Path) -> None:
        if room_of(module_name(path)) in PURE:
            loops = {name.split(".")[0] for name in imported(parsed(path))} & EVENT_LOOPS
            assert not loops, f"a synchronous room imports {loops}"

    def test_sans_io_rooms_do_no_io(self, path: Path) -> None:
        if room_of(module_name(path)) in SANS_IO:
            used = {name.split(".")[0] for name in imported(parsed(path))} & INPUT_OUTPUT
            assert not used, f"a sans-IO room imports {used}"
            assert not any(isinstance(node, ast.Await | ast.AsyncFunctionDef) for node in ast.walk(parsed(path)))


def test_no_import_cycle() -> None:
    names = {module_name(path): path for path in files()}
    edges = {
        name: {target for target in (_resolved(other, names) for other in imported(parsed(path))) if target}
        for name, path in names.items()
    }
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in finished:
            for other in sorted(edges[name] - {name}):
                visit(other, (*trail, name))
            finished.add(name)

    for name in sorted(names):
        visit(name, ())


def _resolved(name: str, names: dict[str, Path]) -> str | None:
    if name in names:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in names else None


def _is_too_large(measure: ClassMeasure) -> bool:
    has_too_many_members = measure.members > MAX_CLASS_MEMBERS and measure.name not in TABLES
    return measure.lines > MAX_CLASS_LINES or has_too_many_members


def test_no_class_is_too_large() -> None:
    measures = [measure for path in files() for measure in measure_classes(path.relative_to(ROOT), path.read_text())]
    assert len(measures) > 500
    report = "\n".join(str(measure) for measure in measures if _is_too_large(measure))
    assert not report, f"split by nouns:\n{report}"


@pytest.mark.parametrize("package", WELL_COMMENTED)
def test_a_package_that_is_new_to_its_readers_is_commented(package: str) -> None:
    sources = [path.read_text() for path in sorted((PACKAGE / package).rglob("*.py"))]
    assert comments_per_100_lines(sources) >= MIN_COMMENTS_PER_100_LINES


class TestMeasures:
    """A measure that counts nothing is worth nothing."""

    SOURCE = dedent("""
        class Peer:
            # Two fields, one of them public.
            address: str
            _secret: str

            def __init__(self):
                self.name = self._name = 1  # a name

            async def send(self):
                '''Send.'''
                self.sent = 1
    """)

    def test_count_lines_and_public_members(self) -> None:
        assert list(measure_classes(Path("a.py"), self.SOURCE)) == [ClassMeasure(Path("a.py"), "Peer", 11, 3)]

    def test_find_a_class_that_is_too_long_or_has_too_many_members(self) -> None:
        assert _is_too_large(ClassMeasure(Path("a.py"), "Transaction", 251, 1))
        assert _is_too_large(ClassMeasure(Path("a.py"), "Peer", 1, 21))
        assert not _is_too_large(ClassMeasure(Path("a.py"), "Peer", 250, 20))
        assert not _is_too_large(ClassMeasure(Path("a.py"), "Transaction", 1, 21))

    def test_count_comments_and_neither_docstrings_nor_words_for_tools(self) -> None:
        assert comments_per_100_lines([self.SOURCE]) == 100 * 2 / 7
        assert comments_per_100_lines(["a = 1  # noqa: E501\n"]) == 0


def test_a_node_does_not_load_what_private_transactions_and_graphql_need() -> None:
    """A fifth of the time to start, and 20 MB."""
    look = "import sys, lacnode.node.run_node; print(*{'sqlalchemy', 'httpx', 'OpenSSL', 'graphql'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
