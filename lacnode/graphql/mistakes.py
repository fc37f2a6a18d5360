"""Mistakes in a query's text, with the texts of Besu's library for the most frequent ones: unknown fields, missing
arguments, and arguments of the wrong type. All other rules are graphql-core's own.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from graphql import (
    ArgumentNode,
    BooleanValueNode,
    FieldNode,
    FieldsOnCorrectTypeRule,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    ProvidedRequiredArgumentsRule,
    ValidationRule,
    ValueNode,
    ValuesOfCorrectTypeRule,
    VariableNode,
    is_required_argument,
    is_required_input_field,
    specified_rules,
)

from lacnode.graphql.errors import VALIDATION, Json, error_at_place

_REPLACED = (FieldsOnCorrectTypeRule, ProvidedRequiredArgumentsRule, ValuesOfCorrectTypeRule)

Mistake = tuple[str, str, str]
"""The place in the argument, the value there, and what is wrong with it."""


def mistake_to_json(error: GraphQLError) -> Json:
    """Return the error, as JSON, for a mistake in the text of a query, with its place."""
    # graphql-core's own texts lack the beginning that all of Besu's have.
    text = error.message
    return error_at_place(
        error, text if text.startswith("Validation error") else f"Validation error : {text}", VALIDATION
    )


def _place(ancestors: Sequence[Any], *last: FieldNode) -> str:
    """Return the fields around a place of the text, joined by slashes."""
    fields = (node for node in (*ancestors, *last) if isinstance(node, FieldNode))
    return "/".join(field.name.value for field in fields)


class _WrongTypeRule(ValidationRule):
    """The rule that every value in the text of a query has the type of its argument. It reports each one that has not,
    in the words of Besu's library."""

    def enter_argument(self, node: ArgumentNode, key: Any, parent: Any, path: Any, ancestors: Sequence[Any]) -> None:
        """Report the values of an argument that do not have its type. graphql-core calls this for each argument."""
        argument = self.context.get_argument()
        # Another rule reports an unknown argument.
        if argument is None:
            return
        for where, value, why in _mistakes(node.value, argument.type, node.name.value):
            text = f"argument '{where}' with value '{value}' {why}"
            self.report_error(GraphQLError(f"Validation error (WrongType@[{_place(ancestors)}]) : {text}", node))


class _MissingArgumentRule(ValidationRule):
    """The rule that every field has the arguments that it requires. It reports each one that is missing, in the words
    of Besu's library."""

    def enter_field(self, node: FieldNode, key: Any, parent: Any, path: Any, ancestors: Sequence[Any]) -> None:
        """Report the required arguments that a field does not have. graphql-core calls this for each field."""
        field = self.context.get_field_def()
        given = {argument.name.value for argument in node.arguments or ()}
        for name, argument in (field.args if field else {}).items():
            if is_required_argument(argument) and name not in given:
                text = f"Validation error (MissingFieldArgument@[{_place(ancestors, node)}]) : "
                self.report_error(GraphQLError(f"{text}Missing field argument '{name}'", node))


class _UndefinedFieldRule(ValidationRule):
    """The rule that every field belongs to its object. It reports each one that does not, in the words of Besu's
    library."""

    def enter_field(self, node: FieldNode, key: Any, parent: Any, path: Any, ancestors: Sequence[Any]) -> None:
        """Report a field that its object does not have. graphql-core calls this for each field."""
        type_ = self.context.get_parent_type()
        if type_ is not None and self.context.get_field_def() is None:
            text = f"Validation error (FieldUndefined@[{_place(ancestors, node)}]) : "
            text += f"Field '{node.name.value}' in type '{type_.name}' is undefined"
            self.report_error(GraphQLError(text, node))


RULES = (
    *(rule for rule in specified_rules if rule not in _REPLACED),
    _WrongTypeRule,
    _MissingArgumentRule,
    _UndefinedFieldRule,
)


def _mistakes(node: ValueNode, type_: GraphQLInputType, where: str) -> Iterator[Mistake]:
    # The value of a variable is checked when the operation is executed.
    if isinstance(node, VariableNode):
        return
    if isinstance(type_, GraphQLNonNull):
        if isinstance(node, NullValueNode):
            yield where, _java(node), "must not be null"
            return
        type_ = type_.of_type
    if isinstance(node, NullValueNode):
        return
    if isinstance(type_, GraphQLList):
        yield from _list_mistakes(node, type_, where)
    elif isinstance(type_, GraphQLInputObjectType):
        yield from _object_mistakes(node, type_, where)
    elif isinstance(type_, GraphQLScalarType):
        yield from _scalar_mistakes(node, type_, where)


def _list_mistakes(node: ValueNode, type_: GraphQLList[Any], where: str) -> Iterator[Mistake]:
    # A single value counts as a list with one element (GraphQL, section 3.11).
    items = (node.values or ()) if isinstance(node, ListValueNode) else (node,)
    for index, item in enumerate(items):
        yield from _mistakes(item, type_.of_type, f"{where}[{index}]")


def _object_mistakes(node: ValueNode, type_: GraphQLInputObjectType, where: str) -> Iterator[Mistake]:
    if not isinstance(node, ObjectValueNode):
        yield where, _java(node), "must be an object type"
        return
    given = {field.name.value: field.value for field in node.fields or ()}
    for name, value in given.items():
        if name not in type_.fields:
            yield where, _java(node), f"contains a field not in '{type_.name}': '{name}'"
        else:
            yield from _mistakes(value, type_.fields[name].type, f"{where}.{name}")
    # Missing fields come after wrong ones, so that the order of the errors is always the same.
    missing = [name for name, field in type_.fields.items() if is_required_input_field(field) and name not in given]
    for name in missing:
        yield where, _java(node), f"is missing required fields '[{name}]'"


def _scalar_mistakes(node: ValueNode, type_: GraphQLScalarType, where: str) -> Iterator[Mistake]:
    # Our scalars have the new functions of graphql-core. Its built-in scalars, such as Int, have `parse_literal`.
    try:
        read = type_.coerce_input_literal
        value = type_.parse_literal(node) if read is None else read(node)  # type: ignore[arg-type]
    except (ValueError, GraphQLError) as error:
        yield where, _java(node), f"is not a valid '{type_.name}' - {error}"
        return
    del value


def _java(node: ValueNode) -> str:
    """Return a value in the form of Besu's library, which is the `toString` of a Java object."""
    # Long values are cut. The client knows them, and an error must not be as large as its query.
    name = type(node).__name__.removesuffix("Node")
    value = getattr(node, "value", None)
    if isinstance(value, str):
        return f"{name}{{value='{value[:200]}'}}" if name == "StringValue" else f"{name}{{value={value[:200]}}}"
    if isinstance(node, BooleanValueNode):
        return f"{name}{{value={str(node.value).lower()}}}"
    return f"{name}{{}}"
