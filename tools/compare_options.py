"""Compare the table of options with those that releases of Besu have, by Besu's sources.

`python -m tools.compare_options REPOSITORY` reads every release from 21.7.4 to 25.5.0 out of a git repository that holds
Besu's tags, and prints the names that `lacnode/cli/options` does not know; the exit status is 1 if there are any.
It also reads the file of every option that a release tests its own reader with, and prints values that we would not take.
`--write` also writes the list of names, each with its first and its last release, to `tests/unit/cli/besu_options.txt`.
Nothing of Besu's sources is kept but the names.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from lacnode.cli.errors import UsageError
from lacnode.cli.option_values import parse_given_value
from lacnode.cli.options import BY_NAME
from lacnode.cli.sources import read_toml_and_mistakes

FIRST, LAST = (21, 7, 4), (25, 5, 0)
PLACES = ("besu/src/main", "plugins/rocksdb/src/main")
"""Where the options of the node are declared."""

EVERY_OPTION = "besu/src/test/resources/everything_config.toml"
"""With every option of its release."""

NAMES_FILE = Path(__file__).resolve().parents[1] / "tests" / "unit" / "cli" / "besu_options.txt"

_RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_SUBCOMMANDS = "/cli/subcommands/"
_OPTION = re.compile(r"@(?:CommandLine\.)?Option\s*\(")
_NAMES = re.compile(r"\bnames\s*=\s*(\{.*?\}|[^,)]+)", re.DOTALL)
_CONSTANT = re.compile(r"\bString\s+([A-Z][A-Z0-9_]*)\s*=\s*(\"--[^;]*);", re.DOTALL)
_PART = re.compile(r"\"([^\"]*)\"|([A-Za-z_.]*[A-Z][A-Z0-9_]*)")

Release = tuple[int, int, int]


class SourceError(Exception):
    """A name in Besu's sources that this program cannot make out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is missing; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("repository", type=Path, help="a git directory with Besu's tags")
    parser.add_argument("--write", action="store_true", help=f"write the names to {NAMES_FILE.name}")
    chosen = parser.parse_args(arguments)
    spans = option_spans(chosen.repository)
    if chosen.write:
        NAMES_FILE.write_text(written(spans), "utf-8")
    missing = {name: span for name, span in spans.items() if name not in BY_NAME}
    print(f"{len(spans)} names, {len(missing)} unknown")
    print(written(missing), end="")
    refused = [text for release in releases(chosen.repository) for text in refused_values(chosen.repository, release)]
    print("".join(f"{text}\n" for text in refused), end="")
    return 1 if missing or refused else 0


def refused_values(repository: Path, release: Release) -> list[str]:
    """What is wrong, for us, with the values in the file of every option of a release. Its paths are nowhere, and are not
    looked for."""
    text = _git(repository, "show", f"{_tag(release)}:{EVERY_OPTION}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "everything_config.toml"
        file.write_text(text, "utf-8")
        texts, wrong = read_toml_and_mistakes(file)
    for name, value in texts.items():
        try:
            parse_given_value(BY_NAME[name], value, empty_list=True)
        except UsageError as error:
            wrong.append(str(error))
    return [f"{_tag(release)}: {why.partition(' (from ')[0]}" for why in wrong]


def _tag(release: Release) -> str:
    return ".".join(map(str, release))


def option_spans(repository: Path) -> dict[str, tuple[Release, Release]]:
    """Each name with the first and the last release that has it."""
    spans: dict[str, tuple[Release, Release]] = {}
    for release in releases(repository):
        for name in option_names(repository, _tag(release)):
            spans[name] = (spans[name][0] if name in spans else release, release)
    return spans


def written(spans: dict[str, tuple[Release, Release]]) -> str:
    """One line a name: the name, its first release, its last release."""
    lines = (" ".join((name, *map(_tag, span))) for name, span in sorted(spans.items()))
    return "".join(f"{line}\n" for line in lines)


def releases(repository: Path) -> list[Release]:
    """The releases of the range that the repository has a tag for, in their order; no candidates."""
    tags = (_RELEASE.fullmatch(tag) for tag in _git(repository, "tag").split())
    found = ((int(tag[1]), int(tag[2]), int(tag[3])) for tag in tags if tag)
    return sorted(release for release in found if FIRST <= release <= LAST)


def option_names(repository: Path, tag: str) -> set[str]:
    """The names, without dashes, of the options that the node of release `tag` takes."""
    sources = list(_sources(repository, tag))
    constants = {name: expression for text in sources for name, expression in _CONSTANT.findall(text)}
    return {
        name.removeprefix("--")
        for text in sources
        for declaration in _declarations(text)
        for name in _resolved(declaration, constants)
        if name.startswith("--")
    }


def _sources(repository: Path, tag: str) -> Iterator[str]:
    matching = _git(repository, "grep", "-lE", r"Option\(|\"--[A-Za-z]", tag, "--", *PLACES).splitlines()
    for place in matching:
        if place.endswith(".java") and _SUBCOMMANDS not in place:
            yield _git(repository, "show", place)


def _declarations(text: str) -> Iterator[str]:
    """What each `@Option(...)` gives as its names."""
    for start in _OPTION.finditer(text):
        found = _NAMES.search(text, start.end())
        if found is None:
            raise SourceError(f"an option without names: {text[start.start() : start.start() + 80]!r}")
        yield found[1]


def _resolved(expression: str, constants: dict[str, str]) -> Iterator[str]:
    """The strings of a Java expression of string literals, constants, commas and plus signs."""
    for item in expression.strip("{} \n").split(","):
        if item.strip():
            yield "".join(_value(literal, name, constants) for literal, name in _PART.findall(item))


def _value(literal: str, name: str, constants: dict[str, str]) -> str:
    if not name:
        return literal
    constant = name.rpartition(".")[2]
    if constant not in constants:
        raise SourceError(f"{constant} is not a constant of the sources")
    return "".join(_resolved(constants[constant], constants))


def _git(repository: Path, *words: str) -> str:
    done = subprocess.run(["git", f"--git-dir={repository}", *words], capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
