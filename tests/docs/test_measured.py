"""Tables of measurements in the documentation are those of the files that the benchmarks wrote."""

import json
from typing import Any

from doc_blocks import ROOT


def measured(name: str) -> dict[str, Any]:
    text = (ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def test_the_table_of_fine_tuning_is_what_was_measured() -> None:
    results, text = measured("fine_tuning"), page("transformers")
    for start in ("fine-tuned", "from scratch"):
        found = results[start]
        suggestion = found["rules"]["suggestion"]
        assert suggestion["found"] == results["seeds"]
        cells = [
            f"{found['best_lr']:.1e}",
            f"{found['best_loss']:.2f}",
            f"{suggestion['lr']:.1e}",
            f"{suggestion['regret']:.2f}",
            f"{suggestion['worst']:.2f}",
            f"{suggestion['forgetting']:.1f}",
            f"{found['rules']['lr_min']['forgetting']:.1f}",
        ]
        assert row(start, *cells) in text


def test_the_table_of_finders_is_what_was_measured() -> None:
    results, text = measured("framework_finders"), page("own-loop")
    assert f"{results['seeds']} seeds" in text
    for name, found in results["finders"].items():
        cells = [
            f"{found['lr']:.1e}",
            f"{found['spread_decades']:.2f}",
            f"{found['regret']:.2f}",
            f"{found['worst_regret']:.2f}",
            ", ".join(found["changed"]) or "nothing",
            f"{found['seconds']:.1f}",
        ]
        assert row(name, *cells) in text
