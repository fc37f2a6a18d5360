"""The table at the end of a siege: one line an attack, at most 100 characters wide."""

from collections.abc import Sequence

from tests.siege.measure import MEGABYTE
from tests.siege.siege import Result

HEAD = (
    f"{'attack':<23}{'calm':>6}{'p50':>7}{'p95':>7}{'max':>7}{'ratio':>7}{'round':>6}{'call':>7}{'mem':>6}"
    f"{'log':>8}{'stop':>6}  verdict"
)
UNITS = f"{'':<23}{'p95 s':>6}{'s':>7}{'s':>7}{'s':>7}{'p95':>7}{'':>6}{'p95 s':>7}{'MB':>6}{'MB/min':>8}{'s':>6}"


def table(results: Sequence[Result]) -> str:
    """Every attack with its numbers and its verdict; the bounds that broke stand below."""
    lines = [HEAD, UNITS, "-" * len(HEAD), *map(_line, results)]
    lines += [f"{result.name}: {fault}" for result in results for fault in result.faults]
    broken = sum(not result.holds for result in results)
    return "\n".join([*lines, f"{len(results)} attacks, {broken} broke a bound"])


def _line(result: Result) -> str:
    verdict = "holds" if result.holds else "BROKEN"
    cost = result.cost
    if cost is None:
        return f"{result.name:<23}{'; '.join(result.facts)[:65]:<67}  {verdict}"
    stop = "" if cost.stop_seconds is None else f"{cost.stop_seconds:.1f}"
    return (
        f"{result.name:<23}{cost.calm.p95:>6.2f}{cost.times.p50:>7.2f}{cost.times.p95:>7.2f}{cost.times.longest:>7.2f}"
        f"{cost.ratio:>7.2f}{cost.times.highest_round:>6}{cost.call_p95_seconds:>7.2f}"
        f"{cost.memory_growth_bytes / MEGABYTE:>6.0f}{cost.log_bytes_per_minute / MEGABYTE:>8.1f}{stop:>6}  {verdict}"
    )
