"""`validate-config`: the entries of a config.toml for which a node would not start, and those that it would ignore.

Options in front of the command count as they would at a start: `lacnode --data-path=X validate-config
--config-file=F`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from lacnode.cli.command_arguments import parse_command_arguments, required_option
from lacnode.cli.errors import UsageError
from lacnode.cli.node_config import find_mistakes, spec_or_placeholder
from lacnode.cli.notices import find_notices
from lacnode.cli.option_values import parse_given_value
from lacnode.cli.options import BY_NAME
from lacnode.cli.settings_reader import SettingsReader
from lacnode.cli.sources import Settings, read_toml_and_mistakes

VALID = "TOML config file is valid on basic inspection."


def run(words: Sequence[str], settings: Settings) -> int:
    """Check the file, and print what is found. `words` are those after `validate-config`. The entries of the file are
    added to `settings`, except those that `settings` have already. Environment variables are not read. Return the exit
    status: 0, or 1 if the node would not start with it. UsageError for a wrong command line, if no file is named, or if
    it cannot be read."""
    values, _ = parse_command_arguments(words, {"config-file": None}, command="validate-config")
    path = Path(required_option(values, "config-file"))
    stops = [*_into(settings, path)]
    stops += find_mistakes(settings)
    # Two checks may find one mistake. Each sentence is printed once.
    for text in dict.fromkeys(stops):
        print(f"the node would not start: {text}", file=sys.stderr)
    if not stops:
        print(VALID)
    # Warnings need settings without mistakes: they read values that a mistake may have left out.
    for text in () if stops else _warnings(SettingsReader(settings)):
        print(f"at the start: {text}")
    if not settings.is_set("genesis-file"):
        print("not checked: the genesis, which the file does not name (--genesis-file)")
    return 1 if stops else 0


def _into(settings: Settings, path: Path) -> list[str]:
    """Add the entries of the file to `settings` where no option is set before. Return the mistakes in the file."""
    texts, wrong = read_toml_and_mistakes(path)
    for name, text in texts.items():
        try:
            value = parse_given_value(BY_NAME[name], text, 1, str(path), empty_list=True)
        except UsageError as error:
            wrong.append(str(error))
            continue
        # Options in front of the command win, as at a start. The entry of the file is checked all the same.
        if not settings.is_set(name):
            settings.values[name] = value
    return wrong


def _warnings(read: SettingsReader) -> list[str]:
    ports = [port for port in ("rpc-http", "rpc-ws") if read.flag(f"{port}-enabled")]
    groups = (name for port in ports for name in read.items(f"{port}-api"))
    spec = spec_or_placeholder(read)
    return [*find_notices(read, spec, tuple(groups)), *(f"genesis: {text}" for text in spec.warnings)]
