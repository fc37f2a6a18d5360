"""How often permission was asked for and given: under the names of Besu's metrics, and by rule.

Must not know who shows them.
"""

import threading
from collections import Counter
from collections.abc import Mapping

from lacnode.permissioning.decision import Decision

NODE_CONTRACT = "node_smart_contract_check_count"
NODE_LOCAL = "node_local_check_count"
SYNC_STATUS = "sync_status_node_check_count"
ACCOUNT_CONTRACT = "transaction_smart_contract_check_count"
ACCOUNT_LOCAL = "account_local_check_count"


class CheckCounters:
    """Counters of the kinds `names`. Safe to use from several threads."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._decisions: Counter[tuple[str, bool]] = Counter()

    def add(self, name: str, allowed: bool) -> None:
        """One check of the kind `name` has been made."""
        with self._lock:
            self._counts[name] += 1
            self._counts[f"{name}_{'permitted' if allowed else 'unpermitted'}"] += 1

    def add_unanswered(self, name: str, rule: str) -> None:
        """A check of the kind `name` had no answer: in Besu neither a yes nor a no, and by its rule not permitted."""
        with self._lock:
            self._counts[name] += 1
            self._decisions[rule, False] += 1

    def add_decision(self, decision: Decision) -> Decision:
        """`decision` is what came of it all; it is given back."""
        with self._lock:
            self._decisions[decision.rule, decision.allowed] += 1
        return decision

    def decisions(self) -> Mapping[tuple[str, bool], int]:
        """How many decisions there were, by rule and answer."""
        with self._lock:
            return dict(self._decisions)

    def all(self) -> dict[str, int]:
        """Every counter, those at 0 too."""
        names = [name + suffix for name in self._names for suffix in ("", "_permitted", "_unpermitted")]
        with self._lock:
            return {name: self._counts[name] for name in names}
