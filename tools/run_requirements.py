"""Writes `requirements-run.lock`: the part of `requirements.lock` that a running node needs, for the image.

`pyproject.toml` names the packages. The comments of the lock file say which package brought which. `make lock` runs this
program. Must not ask the network.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK, RUN_LOCK = "requirements.lock", "requirements-run.lock"
HEADER = f"# The part of {LOCK} that a running node needs. `make lock` makes it.\n"
EXTRA = "postgresql"
"""The extra of the project that the image has too: nodes with a Tessera database in PostgreSQL need it."""

BUILD = "setuptools"
"""What builds the package. The image's build removes it again."""


def run_lock(lock: str, project: str) -> str:
    """Return the text of `requirements-run.lock` for the texts of `requirements.lock` and `pyproject.toml`."""
    entries = {_name(entry): entry for entry in re.split(r"\n(?=[a-zA-Z])", lock.strip()) if not entry.startswith("#")}
    kept = _roots(project)
    while more := {name for name, entry in entries.items() if name not in kept and _parents(entry) & kept}:
        kept |= more
    return HEADER + "".join(_without_comments(entry) for name, entry in entries.items() if name in kept)


def _roots(project: str) -> set[str]:
    document = tomllib.loads(project)["project"]
    named = [*document["dependencies"], *document["optional-dependencies"][EXTRA], BUILD]
    return {_name(requirement) for requirement in named}


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def _parents(entry: str) -> set[str]:
    """Return the packages for which the lock file has an entry, by its comment `# via`."""
    _, _, comment = entry.partition("# via")
    return {_name(line.strip("# ")) for line in comment.splitlines() if line.strip("# ")}


def _without_comments(entry: str) -> str:
    return "".join(f"{line}\n" for line in entry.splitlines() if not line.strip().startswith("#"))


def main() -> None:
    """Write the file beside the lock file."""
    lock, project = ((ROOT / name).read_text("utf-8") for name in (LOCK, "pyproject.toml"))
    (ROOT / RUN_LOCK).write_text(run_lock(lock, project), "utf-8")


if __name__ == "__main__":
    main()
