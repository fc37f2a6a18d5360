"""An option: one line of the table that feeds the command line, the environment, `config.toml`, help and docs."""

from dataclasses import dataclass
from enum import Enum


class OptionKind(Enum):
    """How the text of an option is read. The value is the name that help gives to the kind."""

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
    """What an option does here. HONOURED: the same as in Besu, or what its description says if Besu does not have it.
    IGNORED: it is accepted and changes nothing. REFUSED: a node for which it is switched on does not start."""

    HONOURED = "honoured"
    IGNORED = "accepted, no effect"
    REFUSED = "not in this release: a node asked for it does not start"


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command line. `name` is without the two dashes, and so are `aliases`, its other names.
    `default` is a text, empty if there is no default. It may be a description, such as "auto (terminal)". `values` are
    those of an enum, in capitals. A `hidden` option is shown by `--Xhelp` only."""

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
        """Every name of the option, its own first."""
        return (self.name, *self.aliases)
