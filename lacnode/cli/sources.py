"""The sources of options: the command line, then the environment, then the TOML file. No list is merged.

Each source gives texts by option name. `option_values` converts the texts.
"""

import difflib
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lacnode.cli.errors import UsageError
from lacnode.cli.option_values import Value, parse_given_value
from lacnode.cli.options import BY_NAME, OPTIONS
from lacnode.cli.options.option import Option, OptionKind
from lacnode.cli.profiles import profile_defaults

PREFIXES = ("LACNODE_", "BESU_", "PANTHEON_")
"""Beginnings of environment variables. The first one that is set wins."""

_MAY_BE_BARE = frozenset(("bootnodes", "print-paths-and-exit"))
"""Options that are empty when no value follows. The others need a value."""

MAX_TOML_BYTES = 2**20
_ARRAY_OR_STRING = frozenset(("host-allowlist", "host-whitelist", "rpc-http-cors-origins", "graphql-http-cors-origins"))


@dataclass(slots=True)
class Settings:
    """The values that are set, by option name. `get` gives None for an option that is not set: `SettingsReader` knows
    the defaults. `opentelemetry` are the environment variables of OpenTelemetry, which are no options."""

    values: dict[str, Value] = field(default_factory=dict)
    opentelemetry: dict[str, str] = field(default_factory=dict)

    def is_set(self, name: str) -> bool:
        """Return whether a source sets the option `name` (without dashes)."""
        return name in self.values

    def get(self, name: str) -> Value | None:
        """Return the value that is set for the option `name` (without dashes), None if it is not set."""
        return self.values.get(name)


def parse_command_line(arguments: Sequence[str], commands: Collection[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Return the options in front of the first word that is no option, and the words from this one on. The options are
    texts by the option's own name without dashes: `true` for a switch without a value. UsageError with status 2 for an
    unknown option, for one without its value, and for one that is given twice and is no list.

    A list may be followed by several words. It ends at the next option or at one of `commands`. Lists of one option are
    joined.
    """
    found: dict[str, str] = {}
    position = 0
    while position < len(arguments) and arguments[position].startswith("-"):
        option, text, position = _one(arguments, position, commands)
        # Several lists on one command line are one list, as in Besu. Lists of different sources are not joined.
        if option.kind is OptionKind.LIST and option.name in found:
            text = f"{found[option.name]},{text}"
        elif option.name in found:
            raise UsageError(f"option '--{option.name}' should be specified only once", 2)
        found[option.name] = text
    return found, list(arguments[position:])


def _one(arguments: Sequence[str], position: int, commands: Collection[str]) -> tuple[Option, str, int]:
    """Return the option at `position`, its text, and the position of the next argument. UsageError with status 2 if
    there is no such option, or no value."""
    given, equals, text = arguments[position].partition("=")
    # `-l` is the only short option with a value.
    name = "logging" if given == "-l" else given.removeprefix("--")
    option = BY_NAME.get(name) if given.startswith("--") or given == "-l" else None
    if option is None:
        raise UsageError(_unknown(given), 2)
    position += 1
    if equals:
        return option, text, position
    # Only a list can take too many words. The value of another option may be a word that is also a command.
    following = _following(arguments, position, () if option.kind is not OptionKind.LIST else commands)
    if option.kind is OptionKind.BOOL:
        # A bare flag is true. The word behind it is its value only if it can be one.
        if following and following[0].lower() in ("true", "false"):
            return option, following[0], position + 1
        return option, "true", position
    if option.kind is OptionKind.LIST and following:
        return option, ",".join(following), position + len(following)
    if following:
        return option, following[0], position + 1
    if option.name in _MAY_BE_BARE:
        return option, "", position
    raise UsageError(f"Missing required parameter for option '--{option.name}' (<{option.kind.value}>)", 2)


def _following(arguments: Sequence[str], position: int, commands: Collection[str]) -> list[str]:
    """Return the words from `position` on that can be values: up to the next option or command."""
    words = []
    for word in arguments[position:]:
        if word.startswith("--") or word == "-l" or word in commands:
            break
        words.append(word)
    return words


def _unknown(given: str) -> str:
    near = difflib.get_close_matches(given.removeprefix("--"), [o.name for o in OPTIONS if not o.hidden], 3, 0.6)
    hint = f"\nPossible solutions: {', '.join('--' + name for name in near)}" if near else ""
    return f"Unknown option: '{given}'{hint}"


def environment_name(name: str) -> str:
    """Return the environment variable of an option without its prefix: capitals, with `_` for each dash."""
    return name.replace("-", "_").upper()


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of the options set by variables, by option name without dashes. A text may be empty. Unknown
    variables belong to other programs.
    """
    found: dict[str, str] = {}
    for option in OPTIONS:
        for name in option.names:
            # The innermost loop is over prefixes: an option's own name under `PANTHEON_` wins over an alias under
            # `BESU_`.
            for prefix in PREFIXES:
                text = environment.get(prefix + environment_name(name))
                if text is not None and option.name not in found:
                    found[option.name] = text
    return found


def read_toml(path: Path) -> dict[str, str]:
    """Return the texts of the options of a TOML file, by option name without dashes. The type of each entry is checked,
    and not its text. UsageError if the file is missing, empty, too large (`MAX_TOML_BYTES`) or no TOML, and for the
    first mistake in it: an entry that is no option of this node, or has a wrong type."""
    found, mistakes = read_toml_and_mistakes(path)
    if mistakes:
        raise UsageError(mistakes[0])
    return found


def read_toml_and_mistakes(path: Path) -> tuple[dict[str, str], list[str]]:
    """Return a pair: the texts of the options of a TOML file, by option name without dashes, and a sentence for each
    mistake in its other entries. All unknown options have one sentence together. The type of each entry is checked, and
    not its text. UsageError if the file is missing, empty, too large (`MAX_TOML_BYTES`) or no TOML."""
    flat = _flattened(_read_toml(path))
    mistakes: list[str] = []
    # A file that names another file would make the precedence between them unclear.
    unknown = [key for key in flat if key not in BY_NAME or key == "config-file"]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        mistakes.append(f"Unknown option{plural} in TOML configuration file: {', '.join(unknown)}")
    found: dict[str, str] = {}
    for option in OPTIONS:
        for name in option.names:
            if name in flat and option.name not in found:
                try:
                    found[option.name] = _toml_text(option, flat[name])
                except ValueError as error:
                    mistakes.append(f"Invalid value for option '--{name}': {error} (from {path})")
    return found, mistakes


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        # The size is asked for before the file is read: the wrong file may be a database.
        if path.stat().st_size > MAX_TOML_BYTES:
            raise UsageError(f"Unable to read TOML configuration file {path}: larger than {MAX_TOML_BYTES} bytes")
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise UsageError(f"Unable to read TOML configuration, file not found. {path}") from None
    except UnicodeDecodeError:
        raise UsageError(f"Invalid TOML configuration: {path} is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"Unable to read TOML configuration file {path}: {error.strerror}") from None
    # An empty file is an error in Besu too. Most often a volume was not mounted.
    if not text.strip():
        raise UsageError(f"Unable to read TOML configuration file {path}")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise UsageError(f"Invalid TOML configuration: {path}: {error}") from None


def _flattened(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of all tables by the last part of their path: table headings mean nothing. The first of
    several entries with one name wins."""
    found: dict[str, Any] = {}
    # A stack in place of recursion: a document may be nested deeper than Python's own stack. It is reversed so that
    # entries come out in the order of the file.
    waiting = [*document.items()][::-1]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [*value.items()][::-1]
        else:
            found.setdefault(key, value)
    return found


def _toml_text(option: Option, value: object) -> str:
    """Return `value` as the command line would have it. ValueError if TOML's type does not fit the option."""
    if option.kind is OptionKind.BOOL:
        # Besu refuses `"true"` in quotes, so a file that starts this node starts Besu too.
        if isinstance(value, bool):
            return "true" if value else "false"
        raise _wrong_type(value, "a TOML boolean")
    if option.kind is OptionKind.LIST:
        if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
            # An empty member would vanish in the joined text, or become an empty name.
            if any(not str(item).strip() for item in value):
                raise ValueError("a member of the array is empty")
            # The text has the form that the command line has, so that one parser reads both.
            return ",".join(str(item) for item in value)
        if isinstance(value, str) and value.strip() and option.name in _ARRAY_OR_STRING:
            return value
        raise _wrong_type(value, "a TOML array of strings")
    if option.kind in (OptionKind.STRING, OptionKind.PATH, OptionKind.ADDRESS, OptionKind.HEX, OptionKind.ENUM):
        if isinstance(value, str):
            return value
        raise _wrong_type(value, "a TOML string")
    # In Python a boolean is a number.
    if isinstance(value, bool | list):
        raise _wrong_type(value, "a TOML number")
    return str(value)


def _wrong_type(value: object, expected: str) -> ValueError:
    return ValueError(f"{expected} was expected, found {str(value)[:80]!r}")


COMMAND_LINE_ONLY = ("reset-signing-state",)
"""Options that would be dangerous if an operator forgot them in a file."""


def collect_settings(command_line: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Return every option that is set in any source. The command line wins over the environment, that over the TOML
    file, and that over the profile. Lists of several sources are not joined. UsageError for a value or a file that
    cannot be used, and for an option of `COMMAND_LINE_ONLY` in another source. The text of a value that another source
    overrides is not checked."""
    settings = Settings(opentelemetry=opentelemetry_variables(environment))
    # The order of these calls is the precedence: `_put` leaves alone what an earlier source has set.
    _put(settings, command_line, 2, "")
    from_variables = _read_environment(environment)
    file = _config_file(command_line, environment)
    _put(settings, from_variables, 1, "the environment")
    if file is not None:
        _put(settings, read_toml(file), 1, str(file), empty_lists=True)
    # The profile may come from any of the sources so far, and counts for less than all of them.
    profile = settings.get("profile")
    if profile is not None:
        _put(settings, profile_defaults(str(profile)), 1, f"profile {profile}")
    _put(settings, _of_the_terminal(environment), 1, "the environment")
    _check_for_one_start(settings, command_line)
    return settings


def opentelemetry_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of OpenTelemetry (with the prefix `OTEL_`), by name."""
    return {name: value for name, value in environment.items() if name.startswith("OTEL_")}


def settings_of_command_line(command_line: Mapping[str, str]) -> Settings:
    """Return the settings of a command line alone. UsageError for a value that has the wrong form."""
    settings = Settings()
    _put(settings, command_line, 2, "")
    return settings


def _check_for_one_start(settings: Settings, command_line: Mapping[str, str]) -> None:
    """Raise UsageError for an option that is meant for one start and is in a source that counts at every start."""
    for name in COMMAND_LINE_ONLY:
        if settings.is_set(name) and name not in command_line:
            raise UsageError(
                f"--{name} is for one start: give it on the command line, not in a file or the environment"
            )


def _of_the_terminal(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the options from variables that are not named after an option. They count for less than any other
    source."""
    found = {}
    if environment.get("LOG_LEVEL"):
        found["logging"] = environment["LOG_LEVEL"]
    if environment.get("NO_COLOR"):
        found["color-enabled"] = "false"
    return found


def _config_file(command_line: Mapping[str, str], environment: Mapping[str, str]) -> Path | None:
    given = command_line.get("config-file")
    variable = next((prefix + "CONFIG_FILE" for prefix in PREFIXES if prefix + "CONFIG_FILE" in environment), None)
    if variable is None:
        return None if given is None else Path(given)
    # Besu refuses two files, and does not choose between them.
    inherited = environment[variable]
    if given is not None:
        raise UsageError(f"TOML file specified using {variable}={inherited} and --config-file [{given}]", 2)
    if not Path(inherited).exists():
        raise UsageError(f"TOML file {inherited} specified in environment variable {variable} not found", 2)
    return Path(inherited)


def _put(settings: Settings, texts: Mapping[str, str], status: int, origin: str, *, empty_lists: bool = False) -> None:
    for name, text in texts.items():
        if name not in settings.values:
            # Only values that count are parsed. A wrong value in the file does no harm while the command line overrides
            # it.
            settings.values[name] = parse_given_value(BY_NAME[name], text, status, origin, empty_list=empty_lists)
