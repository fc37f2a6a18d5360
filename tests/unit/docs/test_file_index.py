"""The page of all files says what their docstrings say."""

from tools.file_index import PAGE, file_index


def test_the_page_of_all_files_is_the_one_of_this_code() -> None:
    assert PAGE.read_text("utf-8") == file_index(), "run `make file-index`"
