"""A page as Markdown, for where code is read: made of the same templates, so that both say the same."""

import re

from bs4 import BeautifulSoup
from bs4.element import Tag
from markdownify import ATX, markdownify
from markupsafe import Markup

# What a file cannot do: pictures within the text, choices between panels, rows that open, scripts.
_LEFT_OUT = (
    "script, style, fieldset, wbr, .samples, .gallery, img[src^='data:'], .all, "
    "tr[data-level]:not([data-level='0'])"
)
_INLINE, _DISPLAY = re.compile(r"`\$([^$`]+)\$`"), re.compile(r"`\$\$([^$`]+)\$\$`")


def formula(latex: str, *, display: bool = False) -> Markup:
    """Write a formula between dollar signs, as code hosts read it, in the place of MathML."""
    # As code, so that nothing in it is escaped; to_markdown takes the backticks away.
    dollars = "$$" if display else "$"
    return Markup("<code>{0}{1}{0}</code>").format(dollars, latex)


def to_markdown(page: str) -> str:
    """Write HTML of a page's body as Markdown.

    Example:
        >>> to_markdown('<h1>Rates</h1><p>With <code>$x^2$</code></p><div><svg aria-label="A cell"/></div>')
        '# Rates\\n\\nWith $x^2$\\n\\n*A cell: a drawing of the page.*\\n'
    """
    soup = BeautifulSoup(page, "html.parser")
    for tag in soup.select(_LEFT_OUT):
        tag.decompose()
    # Headings of Markdown have no ids of ours.
    for link in soup.select("a[href^='#']"):
        link.unwrap()
    for drawing in soup.find_all("svg"):
        words = _new(soup, "p", "")
        words.append(_new(soup, "em", f"{_label(drawing)}: a drawing of the page."))
        drawing.replace_with(words)
    # All levels first: a heading that is put in would stand above the next one.
    summaries = [(summary, _below(summary)) for summary in soup.find_all("summary")]
    panels = [(panel, _below(panel)) for panel in soup.select(".panel")]
    for summary, level in summaries:
        summary.name = level
    for panel, level in panels:
        panel.insert(0, _new(soup, level, str(panel["aria-label"])))
    # Those of the rows that stand out, which a style sheet makes bold.
    for cell in soup.select("tr.first > th, tr.first > td"):
        if cell.get_text(strip=True):
            strong = _new(soup, "strong", "")
            strong.extend(list(cell.contents))
            cell.append(strong)
    for caption in soup.select("table > caption"):
        _before_its_table(caption, soup)
    for facts in soup.find_all("dl"):
        _as_list(facts, soup)
    for cell in soup.select("td, th"):
        _replace_text(cell, "|", "\\|")
    # A host takes what stands between < and > for a tag.
    _replace_text(soup, "<", "&lt;")
    text = markdownify(str(soup), heading_style=ATX, bullets="-")
    # Blank lines around each: hosts take two formulas that touch for none.
    text = _INLINE.sub(r"$\1$", _DISPLAY.sub(r"\n\n$$\n\1\n$$\n\n", text))
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _label(drawing: Tag) -> str:
    """What a drawing is called and shows."""
    parts = [drawing.get("aria-label"), drawing.find("title"), drawing.find("desc")]
    words = [
        part.get_text(" ", strip=True) if isinstance(part, Tag) else part for part in parts
    ]
    return ". ".join(str(word).rstrip(".") for word in words if word)


def _replace_text(tag: Tag, sign: str, other: str) -> None:
    """Write a sign in another way wherever it is text, and not code."""
    for text in tag.find_all(string=lambda text: text is not None and sign in text):
        if text.find_parent(["code", "pre"]) is None:
            text.replace_with(text.replace(sign, other))


def _below(tag: Tag) -> str:
    """The heading one level below the one that a tag stands under, no deeper than the fourth."""
    above = tag.find_previous(["h1", "h2", "h3"])
    return f"h{int(above.name[1]) + 1}" if isinstance(above, Tag) else "h4"


def _before_its_table(caption: Tag, soup: BeautifulSoup) -> None:
    """Make a caption a paragraph, since tables of Markdown have none."""
    assert caption.parent is not None
    caption.parent.insert_before(_new(soup, "p", caption.get_text(" ", strip=True)))
    caption.decompose()


def _as_list(facts: Tag, soup: BeautifulSoup) -> None:
    """Make a list of terms and what they are one of bullets, since most hosts know no other."""
    bullets = _new(soup, "ul", "")
    for term, meaning in zip(facts.find_all("dt"), facts.find_all("dd"), strict=True):
        # Records are links to a table further down, in which each run links to its own.
        if term.get_text() != "Records":
            bullet = _new(soup, "li", f"{term.get_text(strip=True)}: ")
            bullet.extend(list(meaning.contents))
            bullets.append(bullet)
    facts.replace_with(bullets)


def _new(soup: BeautifulSoup, name: str, text: str) -> Tag:
    tag = soup.new_tag(name)
    tag.string = text
    return tag
