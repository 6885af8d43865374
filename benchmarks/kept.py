"""What a benchmark measured, as the table that the documentation shows, and as the JSON file that this is written from.

A benchmark calls `present`. `python benchmarks/NAME.py --keep` keeps the numbers in benchmarks/NAME.json;
`python tools/write_measured.py` then writes the tables of docs/. `--beside TEXT` says what else the machine did.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from losslab.machine.process import environment
from losslab.text import count

FOLDER = Path(__file__).parent
DIGITS = 5
"""Significant digits of a time that is kept."""

Found = dict[str, Any]
"""Plain values: what was measured, with every repeat, and under `machine` where."""


def arguments() -> list[str]:
    """The arguments that are the benchmark's own."""
    return _split()[1]


def _split() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--beside", default="")
    return parser.parse_known_args()


def is_there(module: str, package: str) -> bool:
    """Whether a contender can be imported; says how to install it where it cannot."""
    try:
        import_module(module)
    except ImportError:
        print(f"{module} is not installed and left out: pip install {package}", file=sys.stderr)
        return False
    return True


def present(
    name: str,
    found: Found,
    table: Callable[[Found], str],
    *,
    packages: Sequence[str] = (),
    is_whole: bool = True,
) -> None:
    """Print what was found as a table, and keep it where the command line says so.

    Args:
        name: of the file and of the script.
        found: plain values.
        table: writes them.
        packages: others whose version matters.
        is_whole: whether nothing was left out; a part is not kept, since it would replace the whole.
    """
    options, _ = _split()
    now = environment()
    machine = {
        key: now[key] for key in ("processor", "cores", "torch", "losslab", "source_sha256")
    }
    machine["packages"] = {package: version(package) for package in packages}
    machine |= {"date": date.today().isoformat(), "beside": options.beside}
    text = json.dumps(rounded({"machine": machine} | found), indent=1) + "\n"
    if options.keep and is_whole:
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
    print(table(json.loads(text)))
    if options.keep and not is_whole:
        sys.exit(f"{name}: not kept, since a part is missing")


def ray_nodes() -> str:
    """The address of a Ray cluster on this machine, of two nodes with a core each."""
    from ray.cluster_utils import Cluster

    # The same priority for all.
    os.environ |= {"RAY_worker_niceness": "0"}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    return str(cluster.address)


def read(name: str) -> Found:
    """The numbers that a benchmark kept."""
    found: Found = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def rounded(value: Any) -> Any:
    """The same with fewer digits; more say nothing."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def markdown(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def rows_beside(
    values: dict[str, list[float]], base: str, form: str
) -> list[tuple[str, str, str, str]]:
    """A row for each: its median, and the median and the ends of its ratios to the base, repeat by repeat."""
    rows = []
    for name, own in values.items():
        ratios = [each / other for each, other in zip(own, values[base], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append((name, format(median(own), form), f"{median(ratios):.2f}", spread))
    return rows


def measured_on(found: Found, script: str, how: str) -> str:
    """The line under a table: the script, how it measured, on what, when, and beside what."""
    machine = found["machine"]
    day = date.fromisoformat(machine["date"])
    versions = {"torch": machine["torch"], **machine["packages"]}
    facts = [
        f"`benchmarks/{script}.py`: {how}",
        f"{machine['processor']}, {count(machine['cores'], 'core')}",
        ", ".join(f"{name} {number}" for name, number in versions.items()),
        f"{day.day} {day:%B %Y}",
        machine["beside"],
    ]
    return f"*{'; '.join(filter(None, facts))}.*"
