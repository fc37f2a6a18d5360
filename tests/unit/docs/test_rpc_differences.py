"""The page about JSON-RPC names every method of Besu that lacnode does not have, and no other."""

import re
from fnmatch import fnmatch
from pathlib import Path

from lacnode.privacy.state.privacy_marker import GroupMode
from lacnode.rpc.method_list import all_methods
from lacnode.rpc.method_registry import KNOWN_METHODS

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "spec" / "rpc-differences.md"


def missing_methods() -> set[str]:
    """The methods that no module of `lacnode/rpc` makes."""
    made = {method.name for mode in GroupMode for method in all_methods(private=mode)}
    # Filters, subscriptions and the methods about the node itself belong to objects, which name them.
    text = "".join(file.read_text("utf-8") for file in (ROOT / "lacnode" / "rpc").glob("*.py"))
    return {name for name in KNOWN_METHODS - made if f'"{name}"' not in text}


def test_the_methods_that_are_not_here_are_named() -> None:
    section = PAGE.read_text("utf-8").split("## Methods that lacnode does not have\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = re.findall(r"`([\w*]+)`", "".join(rows))
    missing = missing_methods()
    assert sorted(name for name in missing if not any(fnmatch(name, pattern) for pattern in named)) == []
    assert [pattern for pattern in named if not any(fnmatch(name, pattern) for name in missing)] == []
    assert not [name for pattern in named for name in KNOWN_METHODS - missing if fnmatch(name, pattern)]
