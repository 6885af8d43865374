"""``losslab machine``: what is installed, what is stored, what the machine can do."""

from typing import Any

from rich.table import Table

from losslab.cli.options import Flag, console, print_json
from losslab.text import count, number, size


def machine(*, json: Flag = False) -> None:
    """Show versions, optional packages, cached data, cores, memory, and measured ceilings; takes three seconds.

    Args:
        json: Print JSON.
    """
    from losslab.machine.description import describe

    facts = describe()
    if json:
        print_json(facts)
        return
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # a path is shown whole
    for name, value in _rows(facts):
        table.add_row(name, value)
    console().print(table)


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    by_one, by_all, copied = facts["ceilings"].values()
    memory, free = size(facts["memory_bytes"]), size(facts["available_memory_bytes"])
    names = ("losslab", "torch", "numpy", "python", "platform", "processor")
    return [
        *((name, facts[name]) for name in names),
        *((name, version or "not installed") for name, version in facts["optional"].items()),
        ("cores", f"{facts['cores']}; torch uses {count(facts['threads'], 'thread')}"),
        ("memory", f"{memory}, {free} of it free"),
        ("GPUs", ", ".join(facts["gpus"]) or "none that torch can use"),
        *(
            (f"data {dataset['name']}", f"{size(dataset['bytes'])}, {dataset['path']}")
            for dataset in facts["data"]
        ),
        (
            "matrix product",
            f"{number(by_all, 3)} GFLOP/s in float32, {number(by_one, 3)} by one thread",
        ),
        ("copy", f"{number(copied, 3)} GB/s, read and written"),
    ]
