"""As much of Helm's templates as charts of Besu nodes have: conditions, values, `eq`, `ne`, `and`, `quote`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_ACTION = re.compile(r"\s*\{\{-\s*(.*?)\s*(-?)\}\}|\{\{\s*(.*?)\s*(-?)\}\}", re.DOTALL)
_WORD = re.compile(r'"[^"]*"|[()|]|[^\s()|]+')


class HelmTemplateError(Exception):
    """A part of a template that is not read here."""


def render(template: str, values: Mapping[str, Any]) -> str:
    """The text of the template with the chart's `values`. Names of the release are `node`."""
    shown: list[str] = []
    # For each open condition: whether its present branch is shown, and whether one was.
    branches: list[tuple[bool, bool]] = []
    for text, action in _parts(template):
        if all(is_shown for is_shown, _ in branches):
            shown.append(text)
        word, _, rest = action.partition(" ")
        if word == "if":
            holds = bool(_value(rest, values))
            branches.append((holds, holds))
        elif word == "else":
            _, was_shown = branches.pop()
            holds = not was_shown and (not rest or bool(_value(rest.removeprefix("if"), values)))
            branches.append((holds, was_shown or holds))
        elif word == "end":
            branches.pop()
        elif action and all(is_shown for is_shown, _ in branches):
            shown.append(_as_text(_value(action, values)))
    return "".join(shown)


def _parts(template: str) -> Iterator[tuple[str, str]]:
    """Each piece of text with the action after it, which is empty for the last."""
    at, is_trimmed = 0, False
    for found in _ACTION.finditer(template):
        text = template[at : found.start()]
        yield text.lstrip() if is_trimmed else text, found[1] if found[1] is not None else found[3]
        at, is_trimmed = found.end(), bool(found[2] or found[4])
    yield template[at:].lstrip() if is_trimmed else template[at:], ""


def _value(expression: str, values: Mapping[str, Any]) -> Any:
    words = _WORD.findall(expression)
    found = _call(words, values)
    while words:
        bar, *words = words
        if bar != "|" or words.pop(0) != "quote":
            raise HelmTemplateError(expression)
        found = f'"{_as_text(found)}"'
    return found


def _call(words: list[str], values: Mapping[str, Any]) -> Any:
    """The value of the words up to a bar or the end of the brackets, which are taken away."""
    name = words.pop(0)
    arguments = [name] if name.startswith((".", '"', "(")) else []
    operands: list[Any] = [_operand(argument, words, values) for argument in arguments]
    while words and words[0] not in ("|", ")"):
        operands.append(_operand(words.pop(0), words, values))
    match name, operands:
        case "eq", [first, second]:
            return first == second
        case "ne", [first, second]:
            return first != second
        case "and", _:
            return next((operand for operand in operands if not operand), operands[-1])
        case (("include" | "template"), _):
            return "node"
        case _, [value] if arguments:
            return value
    raise HelmTemplateError(name)


def _operand(word: str, words: list[str], values: Mapping[str, Any]) -> Any:
    if word == "(":
        found = _call(words, values)
        words.remove(")")
        return found
    if word.startswith('"'):
        return word[1:-1]
    if not word.startswith(".Values."):
        return "node"
    value: Any = values
    for name in word.removeprefix(".Values.").split("."):
        value = value[name]
    return value


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
