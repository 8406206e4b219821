"""HTML elements from text: everything is escaped, unless it is an element already."""

import html

# These have no content and no end.
VOID = ("img",)


class Html(str):
    """Text that is markup."""


def element(tag: str, *content: object, **attributes: object) -> Html:
    """An element: content that is not Html is escaped, and so are the attributes' values.

    Args:
        tag: the name of the element.
        *content: what it contains.
        **attributes: values by name. A trailing underscore of a name is dropped, other underscores
            become hyphens; None leaves the attribute out.

    Returns:
        The element.

    >>> element("td", "a < b", class_="wide", data_value=3)
    '<td class="wide" data-value="3">a &lt; b</td>'
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{given}>" if tag in VOID else f"<{tag}{given}>{join(*content)}</{tag}>")


def join(*content: object) -> Html:
    """Pieces side by side; those that are not Html are escaped.

    >>> join("1 < 2 ", element("b", "so"))
    '1 &lt; 2 <b>so</b>'
    """
    return Html("".join(c if isinstance(c, Html) else html.escape(str(c)) for c in content))
