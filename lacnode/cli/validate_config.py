"""`validate-config`: whether every key of a config.toml is known and every value fits."""

from collections.abc import Sequence
from pathlib import Path

from lacnode.cli.options import BY_NAME
from lacnode.cli.sources import Settings, from_toml
from lacnode.cli.values import convert
from lacnode.cli.words import parse_words, required


def run(words: Sequence[str], settings: Settings) -> int:
    """Check the file; the exit status."""
    values, _ = parse_words(words, {"config-file": None}, command="validate-config")
    for name, text in from_toml(Path(required(values, "config-file"))).items():
        convert(BY_NAME[name], text)
    print(
        "TOML config file is valid on basic inspection. "
        "Further dependencies between related options are checked when lacnode starts."
    )
    return 0
