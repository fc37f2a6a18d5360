"""Reads the text of a query and checks that its operation may be executed. Size, depth and complexity are bounded.

The bounds are checked first, because the time that graphql-core takes to check a text grows faster than the text.
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

from lacnode.graphql.errors import SYNTAX, QueryRefusedError, error_at_place, refusal_error
from lacnode.graphql.mistakes import RULES, mistake_to_json
from lacnode.graphql.schema import schema

MAX_QUERY_CHARACTERS = 2**18
"""Characters of the text of a query. A longer transaction can be sent as a variable."""

MAX_TOKENS = 4_000
"""Number of words and signs in the text of a query."""

MAX_DEPTH = 100
"""Number of brackets that may be open at the same place of the text."""

MAX_COMPLEXITY = 200
"""Number of fields that an operation may ask for. The bound and the count are Besu's. The block of a transaction and the
fields of a type count for 100, because they lead back to the place that the query came from."""

MAX_ERRORS = 20
"""Number of mistakes of one text that the answer names."""

_EXPENSIVE = frozenset((("Transaction", "block"), ("__Type", "fields")))
_EXPENSIVE_COST = 100
_BRACKETS_AND_TEXT = re.compile(
    r'"""(?:[^"\\]|\\"""|\\|"(?!""))*+(?:""")?'
    r'|"(?:[^"\\\n\r]|\\[^\n\r])*+"?'
    r"|#[^\n\r]*+"
    r"|[{}()\[\]]"
)
"""The three kinds of text in which a bracket is no bracket, and the brackets. Each text ends where graphql-core ends it.

A text without its end is matched as well, up to the place where graphql-core gives up. Nothing is searched twice, so the
time grows with the length alone."""


def read_document(text: str, operation: str | None) -> DocumentNode:
    """Parse `text`, check it against the schema and the bounds, and return the document. Nothing is executed.
    `operation` is the name of the operation to execute. None means the only one. QueryRefusedError if there is no such
    operation, if it is None and `text` has several, if the text is too long, deep or complex, or if there are mistakes.
    """
    document = _parsed(text)
    # The complexity comes before the rules: some rules compare all fields of a text with each other.
    _check_complexity(document)
    mistakes = validate(schema(), document, RULES, max_errors=MAX_ERRORS)
    if mistakes:
        raise QueryRefusedError([mistake_to_json(error) for error in mistakes])
    if get_operation_ast(document, operation) is None:
        raise refusal_error(f"Unknown operation named '{operation}'." if operation else "Must provide operation name.")
    return document


def is_mutation(document: DocumentNode, operation: str | None) -> bool:
    """Return True if `operation` of `document` is a mutation. `operation` is its name. None means the only one. False
    if there is no such operation."""
    found = get_operation_ast(document, operation)
    return found is not None and found.operation is OperationType.MUTATION


def _parsed(text: str) -> DocumentNode:
    if len(text) > MAX_QUERY_CHARACTERS:
        raise refusal_error(f"maximum query length exceeded {len(text)} > {MAX_QUERY_CHARACTERS}")
    # graphql-core's parser calls itself for each bracket, so the depth is counted before it runs.
    _check_depth(text)
    try:
        return parse(text, max_tokens=MAX_TOKENS, allow_empty_selection_sets=False)
    except GraphQLSyntaxError as error:
        raise QueryRefusedError(
            [error_at_place(error, f"Invalid syntax : {error.description}"[:500], SYNTAX)]
        ) from None
    except RecursionError:
        # Python's stack may be deep already. The text is refused, and the error is the client's.
        raise refusal_error("maximum query depth exceeded") from None


def _check_depth(text: str) -> None:
    # Strings and comments are matched as a whole, so that brackets inside them do not count.
    depth = 0
    for found in _BRACKETS_AND_TEXT.finditer(text):
        sign = found[0]
        if sign in ("{", "(", "["):
            depth += 1
        elif sign in ("}", ")", "]"):
            depth -= 1
        if depth > MAX_DEPTH:
            raise refusal_error(f"maximum query depth exceeded {depth} > {MAX_DEPTH}")


# -- complexity ------------------------------------------------------------------------------------------------------


def _check_complexity(document: DocumentNode) -> None:
    """QueryRefusedError if one operation, or one fragment, of the document asks for too many fields."""
    # Fragments are counted even if no operation uses them, because the rules check them too.
    costs = _Costs(document)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            cost = costs.of(definition)
            if cost > MAX_COMPLEXITY:
                raise refusal_error(f"maximum query complexity exceeded {cost} > {MAX_COMPLEXITY}")


class _Costs:
    """The complexity of a document's definitions. The document need not be valid. An unknown field costs one."""

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
        """Return the cost of a fragment. Each fragment is counted once and remembered."""
        # Without the memory, fragments that spread each other twice would take exponential time. The zero stops a
        # fragment that spreads itself. A rule refuses it later.
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
    # graphql-core does not list this field among those of the root type.
    if field is None and name == "__schema":
        field = SchemaMetaFieldDef
    return None if field is None else _as_object(get_named_type(field.type))


def _as_object(type_: object) -> GraphQLObjectType | None:
    return type_ if isinstance(type_, GraphQLObjectType) else None
