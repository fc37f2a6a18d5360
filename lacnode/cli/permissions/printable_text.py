"""Text from contracts, in a form that a terminal and a reader of lines can take. Any admin writes it into a contract."""


def printable(text: str) -> str:
    r"""Return `text` on one line, with each character that is not printable as an escape such as `\x1b`."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
