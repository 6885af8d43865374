"""Write the tables of docs/ that show what the benchmarks measured, from the numbers that these kept.

A table stands between `<!-- table of SCRIPT.py from NAME.json -->` and `<!-- end -->`: what `table` of the script makes
of the file, both in benchmarks/. Run: python tools/write_measured.py
"""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
BLOCK = re.compile(
    r"(<!-- table of (\w+)\.py from (\w+)\.json -->\n).*?(<!-- end -->)", re.DOTALL
)
sys.path.append(str(BENCHMARKS))


def filled(text: str) -> str:
    """The text of a page with every table written anew."""
    return BLOCK.sub(
        lambda block: f"{block[1]}\n{table_of(block[2], block[3])}\n\n{block[4]}", text
    )


def table_of(script: str, name: str) -> str:
    """The table that a benchmark makes of the numbers of a name."""
    return str(import_module(script).table(import_module("kept").read(name)))


def pages() -> Iterator[Path]:
    """Every page of the documentation that may have a table."""
    yield from sorted((ROOT / "docs").glob("*.md"))


def main() -> None:
    """Write all pages."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        again = filled(text)
        if again != text:
            page.write_text(again, encoding="utf-8")


if __name__ == "__main__":
    main()
