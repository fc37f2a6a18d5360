"""The layers of docs/design.md, read out of every file's imports, and the limits on the size of a class."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.code_measures import ClassMeasure, comments_per_100_lines, measure_classes
from tests.support.plain_language import parsed

pytestmark = pytest.mark.xdist_group("sources")

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
"""Imports between packages of one layer that docs/design.md allows, one direction each."""

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
    "TracedStep": "the values of a step of an execution",
    "Transaction": "the fields of a transaction",
    "_Config": "the keys of the genesis file",
}
"""Classes whose members a format lists: they may have any number of them."""

WELL_COMMENTED = ("consensus", "permissioning", "privacy", "storage", "sync")
MIN_COMMENTS_PER_100_LINES = 8


def layer_package(module: str) -> str | None:
    """The package of `LAYERS` that holds a dotted module name, None for the modules at the root of lacnode."""
    parts = module.split(".")[1:]
    if ".".join(parts[:2]) in LAYERS:
        return ".".join(parts[:2])
    return parts[0] if parts and parts[0] in LAYERS else None


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@dataclass(frozen=True)
class Module:
    """A file of lacnode, read once for all rules."""

    name: str
    tree: ast.Module
    imports: tuple[str, ...]

    @property
    def package(self) -> str | None:
        return layer_package(self.name)


@cache
def modules() -> tuple[Module, ...]:
    """Every file of lacnode."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = parsed(path.read_text("utf-8"))
        found.append(Module(module_name(path), tree, tuple(imported(tree))))
    assert len(found) > 500
    return tuple(found)


Rule = Callable[[Module], Iterator[str]]


def imports_only_from_layers_below(module: Module) -> Iterator[str]:
    own = module.package
    for name in module.imports:
        other = layer_package(name) if name.startswith("lacnode.") else None
        if own is None or other is None or own == other:
            continue
        if LAYERS[other] >= LAYERS[own] and (own, other) not in WITHIN_A_LAYER:
            yield f"{own} (layer {LAYERS[own]}) imports {name} of {other} (layer {LAYERS[other]})"


def the_core_of_consensus_knows_no_protocol(module: Module) -> Iterator[str]:
    """A new protocol is a folder, a line in the table of protocols, and a section of the genesis parser."""
    for name in module.imports:
        other = name.split(".")[:3]
        if other[:2] != ["lacnode", "consensus"] or other[2:] in (["bft"], ["protocols"]):
            continue
        is_own_protocol = module.name.split(".")[:3] == other and other[2] != "bft"
        if not is_own_protocol and module.name != "lacnode.consensus.protocols":
            yield f"imports {name} of one protocol"


def hides_no_import_inside_a_function(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            hidden = [name for child in node.body for name in imported(child)]
            if hidden:
                yield f"{node.name} hides imports of {hidden}"


def opens_with_why_it_exists(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield "a module opens with why it exists and what it must not do"


def knows_no_event_loop_where_it_is_pure(module: Module) -> Iterator[str]:
    loops = {name.split(".")[0] for name in module.imports} & EVENT_LOOPS
    if module.package in PURE and loops:
        yield f"a synchronous package imports {loops}"


def does_no_input_and_output_where_it_is_sans_io(module: Module) -> Iterator[str]:
    if module.package not in SANS_IO:
        return
    used = {name.split(".")[0] for name in module.imports} & INPUT_OUTPUT
    if used:
        yield f"a package without input and output imports {used}"
    if any(isinstance(node, ast.Await | ast.AsyncFunctionDef) for node in ast.walk(module.tree)):
        yield "a package without input and output has an async function"


RULES: tuple[Rule, ...] = (
    imports_only_from_layers_below,
    the_core_of_consensus_knows_no_protocol,
    hides_no_import_inside_a_function,
    opens_with_why_it_exists,
    knows_no_event_loop_where_it_is_pure,
    does_no_input_and_output_where_it_is_sans_io,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file(rule: Rule) -> None:
    report = "\n".join(f"{module.name}: {finding}" for module in modules() for finding in rule(module))
    assert not report, f"\n{report}"


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (imports_only_from_layers_below, "lacnode.crypto.keys", "from lacnode.chain import blockchain"),
        (imports_only_from_layers_below, "lacnode.p2p.peer", "from lacnode.sync import synchronizer"),
        (
            the_core_of_consensus_knows_no_protocol,
            "lacnode.consensus.bft.core",
            "import lacnode.consensus.qbft.payloads",
        ),
        (
            the_core_of_consensus_knows_no_protocol,
            "lacnode.consensus.ibft2.core",
            "import lacnode.consensus.qbft.payloads",
        ),
        (hides_no_import_inside_a_function, "lacnode.chain.blockchain", "def build():\n    import os"),
        (opens_with_why_it_exists, "lacnode.chain.blockchain", "import os"),
        (knows_no_event_loop_where_it_is_pure, "lacnode.chain.blockchain", "import trio"),
        (does_no_input_and_output_where_it_is_sans_io, "lacnode.consensus.bft.core", "import time"),
        (does_no_input_and_output_where_it_is_sans_io, "lacnode.consensus.bft.core", "async def run(): ..."),
    ],
)
def test_a_rule_finds_what_breaks_it(rule: Rule, name: str, source: str) -> None:
    tree = ast.parse(source)
    assert list(rule(Module(name, tree, tuple(imported(tree)))))


def test_no_import_cycle() -> None:
    names = {module.name for module in modules()}
    edges = {
        module.name: {target for target in (_resolved(other, names) for other in module.imports) if target}
        for module in modules()
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


def _resolved(name: str, names: set[str]) -> str | None:
    if name in names:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in names else None


def _is_too_large(measure: ClassMeasure) -> bool:
    has_too_many_members = measure.members > MAX_CLASS_MEMBERS and measure.name not in TABLES
    return measure.lines > MAX_CLASS_LINES or has_too_many_members


def test_no_class_is_too_large() -> None:
    measures = [
        measure
        for path in sorted(PACKAGE.rglob("*.py"))
        for measure in measure_classes(path.relative_to(ROOT), path.read_text())
    ]
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
