"""Lists that are written as text; imports nothing, so that one request needs no more."""


def split_list(text: str, separator: str) -> list[str]:
    """Return the items of a list such as ``Action|Comedy``, ``[3, 17]`` or ``['a', 'b']``, as texts without blanks round them."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return [_unquoted(item.strip()) for item in text.split(separator)]


def _unquoted(item: str) -> str:
    quoted = len(item) > 1 and item[0] == item[-1] and item[0] in "'\""
    return item[1:-1] if quoted else item
