"""The schema: `schema.graphql`, and the scalars that it names."""

from functools import lru_cache, partial
from importlib.resources import files

from graphql import GraphQLScalarType, GraphQLSchema, build_schema

from lacnode.graphql import scalars


def schema_text() -> str:
    """The schema in GraphQL's own language."""
    return files("lacnode.graphql").joinpath("schema.graphql").read_text("utf-8")


@lru_cache(maxsize=1)
def schema() -> GraphQLSchema:
    """The schema, built once in a process."""
    built = build_schema(schema_text())
    for name, reader in scalars.READERS.items():
        scalar = built.type_map[name]
        assert isinstance(scalar, GraphQLScalarType)
        _take(scalar, name, reader)
    return built


def _take(scalar: GraphQLScalarType, name: str, reader: scalars.Reader) -> None:
    """Have `scalar` read and written by our functions. The attributes are those that graphql-core documents for it."""
    functions = {
        "coerce_output_value": scalars.write,
        "coerce_input_value": reader,
        "coerce_input_literal": partial(scalars.read_literal, name),
    }
    for attribute, function in functions.items():
        setattr(scalar, attribute, function)
