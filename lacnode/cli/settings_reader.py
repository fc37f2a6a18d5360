"""Typed access to settings. The table of options has the defaults. No other file repeats them."""

from pathlib import Path
from typing import cast

from lacnode.cli.option_values import Value, parse_option_value
from lacnode.cli.options import BY_NAME
from lacnode.cli.sources import Settings

DATA_PATH = Path("build/data")
"""The data path if no option names one. It is Besu's where no `besu.home` is set."""


class SettingsReader:
    """Reads settings, with the defaults of the table of options. Names are without dashes, and the option's own: an
    alias counts as not set. A method that uses the default raises KeyError for an unknown name. The caller must ask for
    the type that the option has: it is not checked."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def is_set(self, name: str) -> bool:
        """Return whether the command line, the environment, a file or a profile sets the option `name` (without
        dashes). A default does not count.
        """
        return self.settings.is_set(name)

    def value(self, name: str) -> Value:
        """Return the value that is set, or the default of the table. KeyError for an unknown name. UsageError if the
        option is not set and its default is no value of its kind: a description, or an empty text for a number, an
        address, an enum or a switch."""
        text_or_none = self.settings.get(name)
        return parse_option_value(BY_NAME[name], BY_NAME[name].default) if text_or_none is None else text_or_none

    def flag(self, name: str) -> bool:
        """Return whether an option that is on or off is on. The errors are those of `value`."""
        return bool(self.value(name))

    def number(self, name: str) -> int:
        """Return the value of an option that is a whole number. The errors are those of `value`."""
        return cast(int, self.value(name))

    def real(self, name: str) -> float:
        """Return the value of an option that is a decimal number. The errors are those of `value`."""
        return float(cast(float, self.value(name)))

    def text(self, name: str) -> str:
        """Return the value of an option that is a text. It is empty if none is set and there is no default. One of an
        enum is in capitals. The errors are those of `value`.
        """
        return cast(str, self.value(name))

    def items(self, name: str) -> tuple[str, ...]:
        """Return the value of an option that is a list of texts. It is empty if none is set and there is no default.
        The errors are those of `value`.
        """
        return cast("tuple[str, ...]", self.value(name))

    def text_or_none(self, name: str) -> str | None:
        """Return the text that is set, without a default: None if no text is set."""
        return cast("str | None", self.settings.get(name))

    def path(self, name: str) -> Path | None:
        """Return the text that is set for the option as a path, without a default. None if no text is set."""
        text = self.text_or_none(name)
        return None if text is None else Path(text)

    @property
    def data_path(self) -> Path:
        """The directory with the files of the node: the value of `--data-path`, or the constant `DATA_PATH`. It need
        not exist."""
        return self.path("data-path") or DATA_PATH
