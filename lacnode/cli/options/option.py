"""What an option is: one line of the table that feeds command line, environment, `config.toml`, help and docs."""

from dataclasses import dataclass
from enum import Enum


class OptionKind(Enum):
    """How an option's text is read; the value is what help calls it."""

    BOOL = "BOOLEAN"
    INT = "INTEGER"
    LONG = "LONG"
    BIGINT = "BIGINT"
    WEI = "WEI"
    DOUBLE = "DOUBLE"
    PERCENT = "PERCENT"
    FRACTION = "FRACTION"
    STRING = "STRING"
    PATH = "PATH"
    ADDRESS = "ADDRESS"
    HEX = "HEX"
    ENUM = "ENUM"
    LIST = "LIST"


class OptionBehaviour(Enum):
    """What this node does with an option."""

    HONOURED = "honoured"
    IGNORED = "accepted, no effect"
    REFUSED = "not in this release: a node asked for it does not start"


@dataclass(frozen=True, slots=True)
class Option:
    """`name` without dashes; `default` as text, empty for none; `values` of an enum."""

    name: str
    kind: OptionKind
    default: str
    description: str
    behaviour: OptionBehaviour = OptionBehaviour.HONOURED
    aliases: tuple[str, ...] = ()
    hidden: bool = False
    values: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it goes by, its own first."""
        return (self.name, *self.aliases)
