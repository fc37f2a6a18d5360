"""`validate-config`: whether every key of a config.toml is known and every value fits."""

import sys
from collections.abc import Sequence
from pathlib import Path

from lacnode.cli.options import BY_NAME
from lacnode.cli.options.option import Behaviour
from lacnode.cli.sources import Settings, from_toml
from lacnode.cli.values import convert
from lacnode.cli.words import parse_words, required


def run(words: Sequence[str], settings: Settings) -> int:
    """Check the file; the exit status. Says on stderr what this release would refuse to start with."""
    values, _ = parse_words(words, {"config-file": None}, command="validate-config")
    path = Path(required(values, "config-file"))
    refused = []
    for name, text in from_toml(path).items():
        value = convert(BY_NAME[name], text, 1, str(path))
        if BY_NAME[name].behaviour is Behaviour.REFUSED and value not in (False, "", (), "localfile"):
            refused.append(name)
    print(
        "TOML config file is valid on basic inspection. "
        "Further dependencies between related options are checked when lacnode starts."
    )
    for name in refused:
        print(f"--{name} is known, but this release of lacnode does not start with it yet", file=sys.stderr)
    return 0
