"""Counters of permissioning checks, under the names of Besu's metrics, and of decisions by rule.

This module must not know how the counters are shown.
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
    """Counters for the checks `names` (the constants of this module). Safe to use from several threads."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        # Besu's metrics count checks. One decision may take several checks, so decisions have counters of their own.
        self._decisions: Counter[tuple[str, bool]] = Counter()

    def count_check(self, name: str, allowed: bool) -> None:
        """Count one check and its answer. `name` is one of the names given to the constructor. No decision is counted."""
        with self._lock:
            self._counts[name] += 1
            self._counts[f"{name}_{'permitted' if allowed else 'unpermitted'}"] += 1

    def count_unanswered(self, name: str, rule: str) -> None:
        """Count one check `name` that had no answer, neither as permitted nor as unpermitted. Count a refusal by `rule`
        in `decisions`."""
        with self._lock:
            # As in Besu, such a check is neither permitted nor unpermitted. The difference of the counters shows it.
            self._counts[name] += 1
            self._decisions[rule, False] += 1

    def count_decision(self, decision: Decision) -> Decision:
        """Count the final `decision` by its rule and its answer. Return the same `decision`."""
        with self._lock:
            self._decisions[decision.rule, decision.allowed] += 1
        return decision

    def decisions(self) -> Mapping[tuple[str, bool], int]:
        """Return a copy of the number of decisions since the start. A key is the name of the rule and True for a
        permission. A pair that never came is absent."""
        with self._lock:
            return dict(self._decisions)

    def as_dict(self) -> dict[str, int]:
        """Return the counters of checks by their names: three for each check, with no suffix, `_permitted` and
        `_unpermitted`. Counters at 0 are included. Decisions are not."""
        names = [name + suffix for name in self._names for suffix in ("", "_permitted", "_unpermitted")]
        # A scraper of metrics needs a counter from the first moment. A counter that appears late looks like a jump.
        with self._lock:
            return {name: self._counts[name] for name in names}
