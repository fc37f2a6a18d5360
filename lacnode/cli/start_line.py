"""The first lines for an operator: that the node starts, and which variables are for another program.

The rest of the start loads many modules, and may take seconds on a busy machine.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from lacnode import __version__
from lacnode.cli.sources import Settings
from lacnode.node.line_writer import LineWriter

_QUIET = ("OFF", "FATAL", "ERROR", "WARN")


def log_start_line(settings: Settings) -> None:
    """Write to standard output, in the format of the log, that the node starts. Nothing if the level of the log is
    above INFO. An output that fails or blocks raises no error."""
    # The log is configured much later, in the modules that are slow to load. So the line is written in the form
    # that the log has.
    if settings.get("logging") not in _QUIET:
        now, text = datetime.now(UTC), f"lacnode {__version__} starts"
        line = f"{now:%Y-%m-%d %H:%M:%S.%f%z} | INFO  | lacnode | {text}"
        if settings.get("logging-format") == "JSON":
            time = f"{now:%Y-%m-%dT%H:%M:%S.%fZ}"
            line = json.dumps({"timestamp": time, "level": "INFO", "logger": "lacnode", "message": text})
        LineWriter(lambda: sys.stdout).write(line)


def find_java_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning of one sentence for each of these environment variables that is set and not empty:
    `LOG4J_CONFIGURATION_FILE`, and `BESU_OPTS`, `JAVA_OPTS` and `PANTHEON_OPTS`, which are for a Java virtual machine.
    This node does not read them."""
    if environment.get("LOG4J_CONFIGURATION_FILE"):
        yield (
            "LOG4J_CONFIGURATION_FILE has no effect: --logging chooses the level (admin_changeLogLevel while the node "
            "runs), --logging-format=JSON the form, and lines go "
            "to standard output, where the service manager or the container keeps and rotates them"
        )
    # These hold options of a Java virtual machine, such as the size of its heap.
    for name in ("BESU_OPTS", "JAVA_OPTS", "PANTHEON_OPTS"):
        if environment.get(name):
            yield f"{name} has no effect: it is for a Java virtual machine"
