"""Rules about public functions, classes and methods: each one is documented, and no name is vague.

A public name is one that has no underscore in front, in a class without one. `tests/unit/test_words.py` applies the rules.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.plain_language import Finding, parsed

Function = ast.FunctionDef | ast.AsyncFunctionDef

VAGUE_NAMES = {
    "able": "name the nodes or the parts that are returned",
    "deal": "say what is done (`check_request`)",
    "do": "say what is done (`import_block`)",
    "get_data": "name the data",
    "go": "say what begins (`start_round`)",
    "judge": "say what is decided (`decide`, `check`)",
    "judged": "say what is decided (`decide`, `check`)",
    "live": "say which state counts (`running_nodes`)",
    "manage": "say what is done (`restart_readers`)",
    "note": "name what is recorded (`record_difference`)",
    "only": "name the parts that are kept",
    "process": "say what is done (`execute_block`)",
    "take": "say whether it removes, follows or accepts (`pop_entries`, `follow`)",
    "tell": "say what is sent (`send_command`)",
    "watch": "say what runs or is recorded (`run_until_signal`)",
}
"""Complete names of functions and methods that say too little, and what to write instead."""

DOCUMENTED_ELSEWHERE = {
    "lacnode/graphql/objects/": "schema.graphql describes the fields",
    "lacnode/graphql/mistakes.py": "graphql-core calls these methods and documents them",
    "lacnode/evm/py_evm_": "py-evm calls these methods and documents them",
}
"""Beginnings of paths below which a method may have no docstring, and the place that documents it."""


BESU_API_GROUPS = (
    "admin", "debug", "eea", "eth", "ibft", "istanbul", "miner", "net", "plugins", "priv", "privx", "qbft", "rpc", "trace",
    "txpool", "web3",
)  # fmt: skip
"""The groups of RPC methods that Besu's and GoQuorum's documentation describes."""


@dataclass(frozen=True, slots=True)
class _PublicClass:
    path: Path
    node: ast.ClassDef

    @property
    def is_interface(self) -> bool:
        return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in self.node.bases)

    @property
    def methods(self) -> dict[str, Function]:
        return {member.name: member for member in self.node.body if isinstance(member, Function)}

    @property
    def attributes(self) -> frozenset[str]:
        """Its methods, the fields of its body, and the attributes that its constructor sets."""
        names = set(self.methods)
        for node in ast.walk(self.node):
            if isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
                names |= {target.attr for target in targets if isinstance(target, ast.Attribute)}
        return frozenset(names)


def vague_names(path: Path, source: str) -> Iterator[Finding]:
    """Find public functions and methods whose whole name says too little."""
    for function, _ in _public_functions(parsed(source)):
        if function.name in VAGUE_NAMES:
            yield Finding(path, function.lineno, f"the name {function.name} is vague: {VAGUE_NAMES[function.name]}")


def undocumented_names(sources: Iterable[tuple[Path, str]]) -> Iterator[Finding]:
    """Find public classes, functions and methods without a docstring.

    A method may be without one if it has the name of a documented method of an interface (a `Protocol`), and its class has
    every member of that interface.
    """
    trees = [(path, parsed(source)) for path, source in sources]
    interfaces = _documented_interfaces(
        [_PublicClass(path, node) for path, tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    )
    for path, tree in trees:
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and ast.get_docstring(node) is None:
                yield Finding(path, node.lineno, f"the class {node.name} has no docstring")
        for function, owner in _public_functions(tree):
            if ast.get_docstring(function) is not None or _is_rpc_method_of_besu(path, function):
                continue
            if owner is not None and any(str(path).startswith(start) for start in DOCUMENTED_ELSEWHERE):
                continue
            if owner is None or not _implements(_PublicClass(path, owner), function.name, interfaces):
                yield Finding(path, function.lineno, f"{function.name} has no docstring")


def _public_functions(tree: ast.Module) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node, None
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                if isinstance(member, Function) and not member.name.startswith("_"):
                    yield member, node


def _documented_interfaces(classes: Iterable[_PublicClass]) -> dict[str, list[frozenset[str]]]:
    """For the name of each documented method of an interface: the members of each interface that has it."""
    found: dict[str, list[frozenset[str]]] = {}
    for class_ in classes:
        if class_.is_interface:
            for name, method in class_.methods.items():
                if ast.get_docstring(method) is not None:
                    found.setdefault(name, []).append(class_.attributes)
    return found


def _implements(class_: _PublicClass, name: str, interfaces: dict[str, list[frozenset[str]]]) -> bool:
    if class_.is_interface:
        return False
    return any(members <= class_.attributes for members in interfaces.get(name, ()))


def _is_rpc_method_of_besu(path: Path, function: Function) -> bool:
    return path.is_relative_to("lacnode/rpc/methods") and function.name.split("_")[0] in BESU_API_GROUPS
