"""The schema: the file `schema.graphql`, and the functions of its scalars."""

from functools import lru_cache, partial
from importlib.resources import files

from graphql import GraphQLScalarType, GraphQLSchema, build_schema

from lacnode.graphql import scalars


def schema_text() -> str:
    """Return the schema in GraphQL's schema language. It is read from the package each time."""
    return files("lacnode.graphql").joinpath("schema.graphql").read_text("utf-8")


@lru_cache(maxsize=1)
def schema() -> GraphQLSchema:
    """Return the schema with the functions of its scalars. It is built once in a process, which takes a while."""
    # The file names the scalars but cannot say how they are read, so the functions are added afterwards.
    built = build_schema(schema_text())
    for name, reader in scalars.READERS.items():
        scalar = built.type_map[name]
        assert isinstance(scalar, GraphQLScalarType)
        _take(scalar, name, reader)
    return built


def _take(scalar: GraphQLScalarType, name: str, reader: scalars.Reader) -> None:
    """Have `scalar` read and written by our functions. The attributes are those that graphql-core documents for this."""
    functions = {
        "coerce_output_value": scalars.serialize_scalar,
        "coerce_input_value": reader,
        "coerce_input_literal": partial(scalars.read_literal, name),
    }
    for attribute, function in functions.items():
        setattr(scalar, attribute, function)
