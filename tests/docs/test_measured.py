"""Tables of measurements in the documentation are those of the files that the benchmarks wrote."""

import json
from statistics import median, quantiles
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


def test_the_row_of_bf16_is_what_was_measured() -> None:
    found, text = measured("precision"), page("gpu")
    slow, fast = (found["seconds_a_step"][precision] for precision in ("fp32", "bf16"))
    rates = [f"{found['batch'] / median(seconds):.1f}" for seconds in (slow, fast)]
    assert f"| {len(slow)} | {' | '.join(rates)} | {median(slow) / median(fast):.2f} |" in text
    low, _middle, high = quantiles(
        [old / new for old, new in zip(slow, fast, strict=True)], n=4
    )
    assert f"the middle half of the ratios was {low:.2f} to {high:.2f}" in text
    longest = max(max(seconds) / min(seconds) for seconds in (slow, fast))
    assert f"up to {longest:.1f} times the shortest" in text
