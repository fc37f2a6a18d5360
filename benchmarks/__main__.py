"""Run every benchmark, or those named: `python -m benchmarks [name ...]`."""

import importlib
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measure import Measure, describe_machine

NAMES = (
    "execution", "engines", "imports", "traces", "requests", "permissions", "import_empty_blocks", "start_up", "memory",
    "throughput", "protocols", "heavy_transaction", "recovery", "private_execution", "private_devnet", "scrape",
    "mixed_engines",
)  # fmt: skip
QUIET = 0.5
"""A load average up to which the machine counts as idle."""

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    names = sys.argv[1:] or list(NAMES)
    unknown = set(names) - set(NAMES)
    if unknown:
        print(f"no benchmark called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    # A benchmark stops its networks when it is interrupted, and a signal's default action would leave them running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    RESULTS.mkdir(exist_ok=True)
    for name in names:
        print(f"{name} ...", flush=True)
        around = describe_machine()
        measures: list[Measure] = importlib.import_module(f"benchmarks.{name}").measure()
        document = {**around, "measures": [asdict(measure) for measure in measures]}
        (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
        for measure in measures:
            print(f"  {measure.name}: {measure.value:.4g} {measure.unit} ({measure.verdict})", flush=True)
    _write_table()
    return 0


def _load(document: dict[str, Any]) -> str:
    load = float(document.get("load", 0))
    return f", load {load:.1f}" if load > QUIET else ""


def _write_table() -> None:
    """The results of the last run of each benchmark, as a page."""
    lines = [
        "# Measured",
        "",
        "Written by `make bench`; each row says where and when. Machines are noisy: trust the ratios. A load is the load",
        "average before the benchmark began, where other work, or the benchmark before it, still left one.",
        "",
        "| Measure | Value | Aim | | How | Commit, date |",
        "|---|---|---|---|---|---|",
    ]
    machines = set()
    for name in NAMES:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        document = json.loads(path.read_text())
        machines.add(f"{document['machine']}, Python {document['python']}")
        for fields in document["measures"]:
            measure = Measure(**fields)
            aim = "" if measure.aim is None else f"{'≤' if measure.at_most else '≥'} {measure.aim:g} {measure.unit}"
            lines.append(
                f"| {measure.name} | {measure.value:.4g} {measure.unit} | {aim} | {measure.verdict} | {measure.note} "
                f"| {document['commit']}, {document['date']}{_load(document)} |"
            )
    lines += ["", f"Machine: {'; '.join(sorted(machines))}.", ""]
    (RESULTS / "README.md").write_text("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
