"""Who may read the files of a node with a transaction manager.

Found before: the databases of the chain with its private states and of the manager were readable for all users of the
machine.
"""

import stat
from collections.abc import Iterable
from pathlib import Path

from lacnode.devnet.manifest import DevnetNode
from tests.siege.attack import Exercise, Findings, Plan
from tests.siege.network import NetworkKind, SiegeNetwork

OTHERS = stat.S_IRWXG | stat.S_IRWXO
SECRET_SUFFIXES = (".mdb", ".sqlite", ".sqlite-wal", ".sqlite-shm", ".key")
"""Of files that are private by themselves, whatever directory they are in."""


def look_at_files(network: SiegeNetwork, plan: Plan) -> Findings:
    """Every directory of a node lets its owner in alone, and every database and key file is for its owner alone."""
    findings = Findings()
    for node in network.nodes:
        secrets = list(secret_files(node.directory))
        findings.facts.append(f"{len(secrets)} databases and keys of {node.name}")
        findings.faults += [f"others than the owner may use {path}" for path in open_paths(node, secrets)]
    return findings


def secret_files(directory: Path) -> Iterable[Path]:
    """The databases and keys under a directory."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and (path.suffix in SECRET_SUFFIXES or path.name == "key"):
            yield path


def open_paths(node: DevnetNode, secrets: Iterable[Path]) -> Iterable[Path]:
    """The node's own directory, and those of its `secrets`, that others than the owner may read, write or enter."""
    return (path for path in (node.directory, *secrets) if path.stat().st_mode & OTHERS)


ATTACKS = (
    Exercise(
        "private-files",
        "files of nodes with managers are for their owner alone",
        look_at_files,
        False,
        NetworkKind.PRIVATE,
    ),
)
