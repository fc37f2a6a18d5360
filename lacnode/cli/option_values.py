"""The texts of options as values. Every refusal names the option, the value and the expected form."""

import re
from collections.abc import Callable

from lacnode.cli.errors import UsageError
from lacnode.cli.options.option import Option, OptionKind

Value = bool | int | float | str | tuple[str, ...]

_RANGES = {
    OptionKind.INT: (-(2**31), 2**31 - 1),
    OptionKind.LONG: (-(2**63), 2**63 - 1),
    OptionKind.WEI: (0, 2**64 - 1),
    OptionKind.BIGINT: (0, 2**256 - 1),
    OptionKind.PERCENT: (0, 100),
}
"""The lowest and highest value of each kind. They are those of the Java types into which Besu reads the options."""


_MAY_BE_EMPTY = frozenset(("bootnodes", "print-paths-and-exit"))
"""Options that have a meaning without a value."""

_PATTERNS = frozenset(("rpc-http-cors-origins", "graphql-http-cors-origins"))
"""Options whose values are regular expressions. Angle brackets have a meaning in them, so they are no placeholders."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_PLACEHOLDER = re.compile(r"<[A-Za-z][^<>]*>|\{\{.*?\}\}")


def parse_given_value(
    option: Option, text: str, status: int = 1, origin: str = "", *, empty_list: bool = False
) -> Value:
    """Return the value that `text` gives `option`. `text` is from a command line, an environment variable or a file.
    The type follows from `option.kind`. UsageError with `status` if `text` has the wrong form, still has a template's
    placeholder, or is empty and the option has no meaning without a value. `empty_list` allows an empty text for a
    list: it is a list without members. The text of the error names `origin`, the place of `text`."""
    # An empty value is most often a variable that was not set: `--data-path=$DATA`. The default would be taken
    # silently, or a path become the current directory.
    if not text.strip() and option.name not in _MAY_BE_EMPTY and not (empty_list and option.kind is OptionKind.LIST):
        raise _invalid(option, "it is empty", origin, status)
    # A node that starts with `<your-key>` as a value fails much later, with an error that names another part.
    placeholder = None if option.name in _PATTERNS else _PLACEHOLDER.search(text)
    if placeholder is not None:
        raise _invalid(option, f"'{_shown(text)}' has the placeholder {_shown(placeholder[0])} in it", origin, status)
    return parse_option_value(option, text, status, origin)


def parse_option_value(option: Option, text: str, status: int = 1, origin: str = "") -> Value:
    """Return the value that `text` gives `option`. Its type follows from `option.kind`. An empty text is a value of
    texts, paths, hexadecimal digits and lists, and a template's placeholder is a text like any other:
    `parse_given_value` is stricter. UsageError with `status` if `text` has the wrong form. The text of the error names
    `origin`, the place of `text`."""
    try:
        return _CONVERTERS[option.kind](option, text)
    except ValueError as error:
        raise _invalid(option, str(error), origin, status) from None


def _invalid(option: Option, why: str, origin: str, status: int) -> UsageError:
    found = f" (from {origin})" if origin else ""
    return UsageError(f"Invalid value for option '--{option.name}': {why}{found}", status)


def _boolean(option: Option, text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise ValueError(f"'{_shown(text)}' is not a boolean")
    return lowered == "true"


def _integer(option: Option, text: str) -> int:
    digits = text.strip().removesuffix("%") if option.kind is OptionKind.PERCENT else text.strip()
    # `int` alone would also take underscores, and digits of other scripts. The length is bounded because Python
    # refuses to convert thousands of digits with an error of its own.
    if not re.fullmatch(r"[+-]?[0-9]{1,80}", digits):
        raise ValueError(f"'{_shown(text)}' is not {_article(option.kind)}")
    lowest, highest = _RANGES[option.kind]
    if not lowest <= int(digits) <= highest:
        raise ValueError(f"'{_shown(text)}' is not {_article(option.kind)}: it must be between {lowest} and {highest}")
    return int(digits)


def _number(option: Option, text: str) -> float:
    # `float` alone would also take NaN, infinity, underscores, and digits of other scripts.
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"'{_shown(text)}' is not a number")
    value = float(text)
    if option.kind is OptionKind.FRACTION and not 0 < value <= 1:
        raise ValueError(f"'{_shown(text)}' is not a fraction between 0 and 1")
    # 1e999 is infinite.
    if abs(value) == float("inf"):
        raise ValueError(f"'{_shown(text)}' is not a number")
    return value


def _string(option: Option, text: str) -> str:
    # The system's calls for files end a name at a zero byte: another file would be opened.
    if "\0" in text:
        raise ValueError("it holds a zero byte")
    return text


def _address(option: Option, text: str) -> str:
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{40}", text):
        raise ValueError(f"'{_shown(text)}' is not an address of 20 bytes")
    return text


def _hexadecimal(option: Option, text: str) -> str:
    if not re.fullmatch(r"(0x)?([0-9a-fA-F]{2})*", text):
        raise ValueError(f"'{_shown(text)}' is not hexadecimal")
    return text


def _enum(option: Option, text: str) -> str:
    if text.upper() not in option.values:
        raise ValueError(f"expected one of [{', '.join(option.values)}] (case-insensitive) but was '{_shown(text)}'")
    return text.upper()


def _list(option: Option, text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",")) if text.strip() else ()


_CONVERTERS: dict[OptionKind, Callable[[Option, str], Value]] = {
    OptionKind.BOOL: _boolean,
    OptionKind.INT: _integer,
    OptionKind.LONG: _integer,
    OptionKind.WEI: _integer,
    OptionKind.BIGINT: _integer,
    OptionKind.PERCENT: _integer,
    OptionKind.DOUBLE: _number,
    OptionKind.FRACTION: _number,
    OptionKind.STRING: _string,
    OptionKind.PATH: _string,
    OptionKind.ADDRESS: _address,
    OptionKind.HEX: _hexadecimal,
    OptionKind.ENUM: _enum,
    OptionKind.LIST: _list,
}


def _article(kind: OptionKind) -> str:
    names = {
        OptionKind.INT: "an int",
        OptionKind.LONG: "a long",
        OptionKind.WEI: "an amount of wei",
        OptionKind.BIGINT: "a number",
    }
    return names.get(kind, "a percentage")


def _shown(text: str) -> str:
    # A value may be a whole file by mistake. The error stays one line.
    return text if len(text) <= 80 else text[:77] + "..."
