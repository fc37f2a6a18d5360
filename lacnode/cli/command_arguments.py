"""Options of a sub-command: a few names, each with a value."""

from collections.abc import Mapping, Sequence

from lacnode.cli.errors import UsageError


def parse_command_arguments(
    words: Sequence[str], known: Mapping[str, str | None], *, flags: Sequence[str] = (), command: str
) -> tuple[dict[str, str | None], list[str]]:
    """Return a pair: the values by option name without dashes, and the words that are no options. `known` has the
    options that take a value, with their defaults. Each of them is among the values. A flag of `flags` is among them
    only if it is given, with the value `true` or the one after `=`. Of an option that is given twice, the last value
    counts.

    UsageError for an option that is in neither, and for a known one without its value. Its text names `command`.
    """
    values = dict(known)
    rest: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not word.startswith("--"):
            rest.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        # A flag takes a value only after `=`. The word behind a bare flag is an argument of the command.
        if name in flags:
            values[name] = value or "true"
        elif name not in known:
            raise UsageError(f"Unknown option: '--{name}' of {command}", 2)
        elif equals:
            values[name] = value
        elif position < len(words):
            values[name] = words[position]
            position += 1
        else:
            raise UsageError(f"Missing required parameter for option '--{name}'", 2)
    return values, rest


def required_option(values: Mapping[str, str | None], name: str) -> str:
    """Return the value of the option `name` in `values`. UsageError if it is missing or None."""
    value = values.get(name)
    if value is None:
        raise UsageError(f"Missing required option: '--{name}=<VALUE>'", 2)
    return value
