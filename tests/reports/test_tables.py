"""How the page prints a table."""

from markupsafe import Markup

from losslab.reports.render import page_environment
from losslab.tables import Table

TEMPLATE = '{% import "parts.html.jinja" as parts with context %}{{ parts.table(it) }}'


def printed(table: Table) -> str:
    template = page_environment().from_string(TEMPLATE)
    html = template.render(
        it=table, folder="study/", equation=lambda latex: Markup(f"<math>{latex}</math>")
    )
    return " ".join(html.split())


def test_cells_are_escaped_and_the_first_is_the_heading_of_its_row() -> None:
    html = printed(Table("A & b", ("name", "value"), (("<b>", "<i>"),)))
    assert "<caption>A &amp; b</caption>" in html
    assert 'aria-label="A &amp; b"' in html
    assert '<th scope="row">&lt;b&gt;</th><td>&lt;i&gt;</td>' in html


def test_rows_without_a_run_are_said() -> None:
    assert '<th scope="row">no finished run</th><td></td></tr>' in printed(
        Table("", ("name", "value"), ())
    )


def test_bold_rows_and_the_total_have_their_classes() -> None:
    table = Table("", ("a",), (("x",), ("y",), ("z",)), bold=(1,), total=True)
    html = printed(table)
    assert '<tr class="first"><th scope="row">y</th>' in html
    assert '<tr class="total"><th scope="row">z</th>' in html
    assert '<tr><th scope="row">x</th>' in html


def test_entries_of_lists_are_kept_whole_and_the_strong_ones_bold() -> None:
    table = Table(
        "",
        ("a", "b"),
        (("x", "1 → 2; 3 → 4"), ("y", "1 → 2")),
        lists=(1,),
        strong=frozenset({(0, "1 → 2")}),
    )
    html = printed(table)
    assert (
        '<span class="whole"><strong>1 → 2</strong></span>; <span class="whole">3 → 4</span>'
        in html
    )
    assert html.count("<strong>") == 1


def test_records_and_links_lead_into_the_folder_of_the_study() -> None:
    table = Table(
        "", ("a", "b"), (("x", "c1"),), records=(("r1", "r2"),), links={"c1": "counts/c1.json"}
    )
    html = printed(table)
    assert '<a href="study/counts/c1.json">c1</a>' in html
    assert (
        '<a href="study/runs/r1/records.jsonl">r1</a> <a href="study/runs/r2/records.jsonl">r2</a>'
        in html
    )
    assert '<th scope="col">records</th>' in html


def test_formulas_are_equations_and_calculations_have_their_class() -> None:
    html = printed(Table("", ("a", "b"), (("v", "1 + 1"),), formulas=(0,), work=(1,)))
    assert "<td><math>v</math></td>" in html
    assert 'scope="row"' not in html
    assert '<td class="work">1 + 1</td>' in html


def test_long_names_of_rows_may_fold_at_underscores() -> None:
    html = printed(Table("", ("a", "b"), (("weight_<decay", "a_b"),)))
    assert '<th scope="row">weight_<wbr>&lt;decay</th><td>a_b</td>' in html
