"""Tables of measurements in the documentation are those of the files that the benchmarks wrote."""

import json
from statistics import fmean, median, quantiles
from typing import Any

from doc_blocks import ROOT

from losslab.study.results import read_results
from losslab.study.store import StudyFolder


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


def test_what_bf16_learns_is_what_was_recorded() -> None:
    runs = read_results(StudyFolder(ROOT / "results" / "precision")).stages["compare"]
    text = " ".join(page("gpu").split())
    found = {}
    for precision in ("fp32", "bf16"):
        of_it = [run for run in runs if run.run.precision == precision]
        assert len(of_it) == 3
        validation = fmean(run.evaluations[-1].validation_accuracy or 0 for run in of_it)
        finals = [run.final for run in of_it if run.final]
        test = fmean(final.test_accuracy or 0 for final in finals)
        found[precision] = (validation, test)
        seconds = fmean(final.train_processor_seconds or 0 for final in finals)
        assert (
            f"{seconds:,.0f} processor seconds in fp32" in text
            or f"{seconds:,.0f} in bf16" in text
        )
    (slow, slow_test), (fast, fast_test) = found.values()
    said = f"validation accuracy is {100 * slow:.2f} % in fp32 and {100 * fast:.2f} % in bf16"
    assert f"{said}, test accuracy {100 * slow_test:.2f} % and {100 * fast_test:.2f} %" in text
    assert abs(slow - fast) < 0.02


def test_what_tiny_weights_cost_is_what_was_recorded() -> None:
    runs = read_results(StudyFolder(ROOT / "results" / "adaptive-optimizers")).stages["search"]
    seconds = {
        (run.run.optimizer.name, run.run.lr): run.final.train_processor_seconds or 0
        for run in runs
        if run.final
    }
    usual, slow = (seconds["rmsprop", rate] for rate in (1e-5, 3e-4))
    said = f"RMSProp took {usual:.0f} s at a rate of 1e-5 and {slow:.0f} s at 3e-4"
    usual, slow = (seconds["rmsprop-nesterov", rate] for rate in (1e-5, 1e-4))
    said += f", those of RMSProp + Nesterov {usual:.0f} s at 1e-5 and {slow:.0f} s at 1e-4"
    assert said in " ".join(page("execution").split())
