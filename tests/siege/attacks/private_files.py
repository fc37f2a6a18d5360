"""Who may read the files of a node with a transaction manager.

Found before: the databases of the chain with its private states and of the manager were readable for all users of the
machine, and a devnet made the data path of a node with a manager so that all users could enter it.
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
    """Every database and key file is for its owner alone, and so is every directory around them, up to the data path."""
    findings = Findings()
    for node in network.nodes:
        secrets = list(secret_files(node.directory))
        findings.facts.append(f"{len(secrets)} databases and keys of {node.name}")
        findings.faults += [f"others than the owner may use {path}" for path in open_paths(node, secrets)]
        if not secrets:
            findings.faults.append(f"{node.name} has no database: nothing was looked at")
    return findings


def secret_files(directory: Path) -> Iterable[Path]:
    """The databases and keys under a directory."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and (path.suffix in SECRET_SUFFIXES or path.name == "key"):
            yield path


def open_paths(node: DevnetNode, secrets: Iterable[Path]) -> Iterable[Path]:
    """The `secrets` of a node, and the directories around them, that others than the owner may read, write or enter. The
    data path is one of them, and so is the manager's directory if it has a key."""
    found = sorted(
        {path for secret in secrets for path in (secret, *secret.parents) if path.is_relative_to(node.directory)}
    )
    return (path for path in found if path.stat().st_mode & OTHERS)


ATTACKS = (
    Exercise(
        "private-files",
        "files of nodes with managers are for their owner alone",
        look_at_files,
        False,
        NetworkKind.PRIVATE,
    ),
)
