"""Requests of GraphQL over HTTP that have no question."""

import pytest

from lacnode.graphql.requests import MalformedRequestError, parse_question
from lacnode.http.http_messages import Request


def test_a_url_with_too_many_fields_is_refused() -> None:
    fields = "&".join(f"name{number}=1" for number in range(21))
    with pytest.raises(MalformedRequestError, match="at most 20 fields"):
        parse_question(Request("GET", f"/graphql?query={{chainID}}&{fields}", {}))


def test_a_url_with_a_query_is_read() -> None:
    assert parse_question(Request("GET", "/graphql?query={chainID}", {})).text == "{chainID}"
