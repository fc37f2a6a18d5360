"""Which texts are read, and which are refused before graphql-core reads them."""

import pytest

from lacnode.graphql.document import MAX_DEPTH, MAX_QUERY_CHARACTERS, read_document
from lacnode.graphql.errors import QueryRefusedError

DEEP = "...{" * MAX_DEPTH + "gasPrice" + "}" * MAX_DEPTH


def refusal(text: str) -> str:
    with pytest.raises(QueryRefusedError) as caught:
        read_document(text, None)
    return str(caught.value.errors[0]["message"])


@pytest.mark.parametrize(
    "before",
    [
        "",
        # Each of these ends where graphql-core ends it. The brackets behind it count.
        "#\r",
        "#\n",
        'a(x: """\\\n""") ',
        'a(x: """\\"""""") ',
        'a(x: "\\\\") ',
        'a(x: "") ',
        'a(x: """""") ',
    ],
)
@pytest.mark.parametrize("behind", ["", ' #"""', ' # "'])
def test_no_comment_and_no_text_hides_the_brackets_behind_it(before: str, behind: str) -> None:
    assert "maximum query depth exceeded" in refusal("{ " + before + DEEP + " }" + behind)


@pytest.mark.parametrize("text", ["#" + "{" * 200 + "\r", '"' + "{" * 200 + '"', '"""' + "{\n" * 200 + '\\""" """'])
def test_brackets_in_comments_and_texts_do_not_count(text: str) -> None:
    argument = f"(data: {text})" if text.startswith('"') else text
    assert "depth" not in refusal(f"{{ nothing {argument} }}")


@pytest.mark.parametrize("unit", ['\\"""\n', '"""', '"\\', '"\n', '"', '\\"', '#"', '""" "', '\\"""'])
def test_texts_without_an_end_are_searched_once(unit: str) -> None:
    # With a search for each beginning this takes hours.
    assert refusal("{" + unit * (MAX_QUERY_CHARACTERS // len(unit) - 1))
