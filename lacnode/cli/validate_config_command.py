"""`validate-config`: whether every key of a config.toml is known and every value fits."""

import sys
from collections.abc import Sequence
from pathlib import Path

from lacnode.cli.command_arguments import parse_command_arguments, required
from lacnode.cli.option_values import parse_option_value
from lacnode.cli.options import BY_NAME
from lacnode.cli.options.option import OptionBehaviour
from lacnode.cli.sources import Settings, read_toml


def run(words: Sequence[str], settings: Settings) -> int:
    """Check the file; the exit status. Says on stderr what this release would refuse to start with."""
    values, _ = parse_command_arguments(words, {"config-file": None}, command="validate-config")
    path = Path(required(values, "config-file"))
    refused = []
    for name, text in read_toml(path).items():
        value = parse_option_value(BY_NAME[name], text, 1, str(path))
        if BY_NAME[name].behaviour is OptionBehaviour.REFUSED and value not in (False, "", (), "localfile"):
            refused.append(name)
    print(
        "TOML config file is valid on basic inspection. "
        "Further dependencies between related options are checked when lacnode starts."
    )
    for name in refused:
        print(f"--{name} is known, but this release of lacnode does not start with it yet", file=sys.stderr)
    return 0
