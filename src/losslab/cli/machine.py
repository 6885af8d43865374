"""``losslab machine``: what is installed, what is stored, what the machine can do."""

from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from losslab.cli.options import print_json


def machine(*, json: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Show versions, optional packages, cached data, cores, memory, and measured ceilings; takes three seconds.

    Args:
        json: Print JSON.
    """
    from losslab.process import describe

    facts = describe()
    if json:
        print_json(facts)
        return
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # a path is shown whole
    for name, value in _rows(facts):
        table.add_row(name, value)
    Console(highlight=False, markup=False).print(table)


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    by_one, by_all, copied = facts["ceilings"].values()
    return [
        *((name, facts[name]) for name in ("losslab", "torch", "numpy", "python", "platform", "processor")),
        *((name, version or "not installed") for name, version in facts["optional"].items()),
        ("cores", f"{facts['cores']}; torch uses {facts['threads']} thread(s)"),
        ("memory", f"{facts['memory_bytes'] / 1e9:.1f} GB, {facts['available_memory_bytes'] / 1e9:.1f} GB of it free"),
        ("GPUs", ", ".join(facts["gpus"]) or "none that torch can use"),
        *((f"data {one['name']}", f"{one['bytes'] / 1e6:,.1f} MB, {one['path']}") for one in facts["data"]),
        ("matrix product", f"{by_all:.1f} GFLOP/s in float32, {by_one:.1f} by one thread"),
        ("copy", f"{copied:.1f} GB/s, read and written"),
    ]
