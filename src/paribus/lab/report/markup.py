"""HTML by hand: everything that comes from a claim, a config or a file is escaped here."""

import html
import re
from collections.abc import Iterable, Sequence


class Html(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


def plain(value: object) -> str:
    """The text of a value without the control characters that neither HTML nor SVG may hold."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\ufffd", str(value))


def text(value: object) -> Html:
    return value if isinstance(value, Html) else Html(html.escape(plain(value)))


def tag(name: str, *content: object, **attributes: object) -> Html:
    """`<name attributes>content</name>`; class_ is class, other underscores are hyphens."""
    spelled = "".join(f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{spelled}>{join(content)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Html:
    return Html(between.join(text(part) for part in parts))


def section(title: object, *content: object, id_: str) -> Html:
    return tag("section", tag("h2", title), *content, id=id_)


def table(
    header: Sequence[object], rows: Iterable[Sequence[object]], caption: object = "", label: str = "", words: int = 1
) -> Html:
    """A table that scrolls sideways by itself when it is wider than the page; the first `words` columns hold words."""
    names = [tag("th", cell, scope="col", class_="" if i < words else "n") for i, cell in enumerate(header)]
    body = [
        tag(
            "tr",
            *[
                tag("th", cell, scope="row") if i == 0 else tag("td", cell, class_="" if i < words else "n")
                for i, cell in enumerate(row)
            ],
        )
        for row in rows
    ]
    inner = join([tag("caption", caption) if caption else "", tag("thead", tag("tr", *names)), tag("tbody", *body)])
    name = label or (re.sub("<[^>]*>", "", caption) if isinstance(caption, str) else "")
    return tag("div", tag("table", inner), class_="scroll", tabindex=0, role="region", aria_label=name or "table")


def facts(rows: Iterable[tuple[object, object]]) -> Html:
    """Names and values, one pair a line."""
    return tag("dl", *[tag("div", tag("dt", name), tag("dd", value)) for name, value in rows])


def folded(summary: object, *content: object) -> Html:
    return tag("details", tag("summary", summary), *content)


def figure(svg: str, caption: object, class_: str = "") -> Html:
    return tag("figure", Html(svg), tag("figcaption", caption), class_=class_)
