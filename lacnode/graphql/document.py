"""From the text of a query to an operation that may be executed: bounded in size, in depth and in what it asks for.

The bounds come first, because the time that graphql-core takes to check a text grows faster than the text.
"""

import re
from collections.abc import Iterator

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
    get_operation_ast,
    parse,
    validate,
)
from graphql.type import SchemaMetaFieldDef

from lacnode.graphql.errors import SYNTAX, QueryRefusedError, located, refused
from lacnode.graphql.mistakes import RULES, shown
from lacnode.graphql.schema import schema

MAX_QUERY_CHARACTERS = 2**18
"""Of the text of a query. A transaction that is longer can be sent as a variable."""

MAX_TOKENS = 4_000
"""Words and signs of the text of a query."""

MAX_DEPTH = 100
"""Brackets of the text that are open at once."""

MAX_COMPLEXITY = 200
"""Fields that an operation asks for; Besu's bound and its count: the block of a transaction, and the fields of a type,
count for 100 more, because they lead back to where the query came from."""

MAX_ERRORS = 20
"""Mistakes of one text that are told."""

_EXPENSIVE = frozenset((("Transaction", "block"), ("__Type", "fields")))
_EXPENSIVE_COST = 100
_BRACKETS_AND_TEXT = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*|[{}()\[\]]')


def read_document(text: str, operation: str | None) -> DocumentNode:
    """The document of `text`, of which `operation` will be executed; QueryRefusedError."""
    document = _parsed(text)
    _check_complexity(document)
    mistakes = validate(schema(), document, RULES, max_errors=MAX_ERRORS)
    if mistakes:
        raise QueryRefusedError([shown(error) for error in mistakes])
    if get_operation_ast(document, operation) is None:
        raise refused(f"Unknown operation named '{operation}'." if operation else "Must provide operation name.")
    return document


def is_mutation(document: DocumentNode, operation: str | None) -> bool:
    """Whether `operation` changes something."""
    found = get_operation_ast(document, operation)
    return found is not None and found.operation is OperationType.MUTATION


def _parsed(text: str) -> DocumentNode:
    if len(text) > MAX_QUERY_CHARACTERS:
        raise refused(f"maximum query length exceeded {len(text)} > {MAX_QUERY_CHARACTERS}")
    _check_depth(text)
    try:
        return parse(text, max_tokens=MAX_TOKENS, allow_empty_selection_sets=False)
    except GraphQLSyntaxError as error:
        raise QueryRefusedError([located(error, f"Invalid syntax : {error.description}"[:500], SYNTAX)]) from None
    except RecursionError:
        raise refused("maximum query depth exceeded") from None


def _check_depth(text: str) -> None:
    depth = 0
    for found in _BRACKETS_AND_TEXT.finditer(text):
        sign = found[0]
        if sign in ("{", "(", "["):
            depth += 1
        elif sign in ("}", ")", "]"):
            depth -= 1
        if depth > MAX_DEPTH:
            raise refused(f"maximum query depth exceeded {depth} > {MAX_DEPTH}")


# -- complexity ------------------------------------------------------------------------------------------------------


def _check_complexity(document: DocumentNode) -> None:
    """Refuse a document of which one operation, or one fragment, asks for too much."""
    costs = _Costs(document)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            cost = costs.of(definition)
            if cost > MAX_COMPLEXITY:
                raise refused(f"maximum query complexity exceeded {cost} > {MAX_COMPLEXITY}")


class _Costs:
    """The complexity of a document's definitions. It may be no valid document: what is unknown costs one."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._known: dict[str, int] = {}

    def of(self, definition: OperationDefinitionNode | FragmentDefinitionNode) -> int:
        if isinstance(definition, FragmentDefinitionNode):
            return self._of_fragment(definition.name.value)
        return self._of_selections(definition.selection_set, schema().get_root_type(definition.operation))

    def _of_fragment(self, name: str) -> int:
        """The cost of a fragment, which is looked into once. One that spreads itself is refused by a rule later."""
        if name not in self._known:
            self._known[name] = 0
            fragment = self._fragments.get(name)
            if fragment is not None:
                type_ = schema().get_type(fragment.type_condition.name.value)
                self._known[name] = self._of_selections(fragment.selection_set, _as_object(type_))
        return self._known[name]

    def _of_selections(self, selections: SelectionSetNode | None, type_: GraphQLObjectType | None) -> int:
        return sum(self._each(selections, type_))

    def _each(self, selections: SelectionSetNode | None, type_: GraphQLObjectType | None) -> Iterator[int]:
        for selection in () if selections is None else selections.selections:
            if isinstance(selection, FieldNode):
                yield self._of_field(selection, type_)
            elif isinstance(selection, FragmentSpreadNode):
                yield self._of_fragment(selection.name.value)
            elif isinstance(selection, InlineFragmentNode):
                yield self._of_selections(selection.selection_set, type_)

    def _of_field(self, node: FieldNode, type_: GraphQLObjectType | None) -> int:
        name = node.name.value
        own = 1 if type_ is None or (type_.name, name) not in _EXPENSIVE else _EXPENSIVE_COST
        return own + self._of_selections(node.selection_set, _type_of_field(type_, name))


def _type_of_field(type_: GraphQLObjectType | None, name: str) -> GraphQLObjectType | None:
    field = None if type_ is None else type_.fields.get(name)
    if field is None and name == "__schema":
        field = SchemaMetaFieldDef
    return None if field is None else _as_object(get_named_type(field.type))


def _as_object(type_: object) -> GraphQLObjectType | None:
    return type_ if isinstance(type_, GraphQLObjectType) else None
