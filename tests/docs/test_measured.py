"""Tables of measurements in the documentation are those of the files that the benchmarks wrote."""

import json
import runpy
from collections import Counter
from importlib import import_module
from math import log10
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from doc_blocks import ROOT

from losslab.study.flops import operations
from losslab.study.load import load_study
from losslab.study.results import read_results
from losslab.study.stages import expand
from losslab.study.store import StudyFolder


def kept(name: str) -> dict[str, Any]:
    text = (ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def words(name: str) -> str:
    """The text of a page in one line."""
    return " ".join(page(name).split())


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def test_the_table_of_fine_tuning_is_what_was_measured() -> None:
    results, text = kept("fine_tuning"), page("transformers")
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
    results, text = kept("framework_finders"), page("own-loop")
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


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "docs").glob("*.md")))
def test_the_tables_of_a_page_are_written_from_what_benchmarks_kept(name: str) -> None:
    tools = runpy.run_path(str(ROOT / "tools" / "write_measured.py"))
    again = "python tools/write_measured.py writes it again"
    assert tools["filled"](page(name)) == page(name), again


def test_a_table_is_written_into_its_block_and_changes_with_its_numbers(tmp_path: Path) -> None:
    tools = runpy.run_path(str(ROOT / "tools" / "write_measured.py"))
    numbers = import_module("kept")
    (tmp_path / "fake_benchmark.py").write_text(
        "def table(found):\n    return f'| {found[\"seconds\"]} s |'\n", encoding="utf-8"
    )
    empty = "before\n<!-- table of fake_benchmark.py from fake.json -->\n<!-- end -->\nafter\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        patch.setattr(numbers, "FOLDER", tmp_path)
        (tmp_path / "fake.json").write_text('{"seconds": 12.5}', encoding="utf-8")
        once = tools["filled"](empty)
        assert "-->\n\n| 12.5 s |\n\n<!-- end -->\nafter" in once
        assert tools["filled"](once) == once
        (tmp_path / "fake.json").write_text('{"seconds": 13.5}', encoding="utf-8")
        assert "| 13.5 s |" in tools["filled"](once)


def test_what_bf16_learns_is_what_was_recorded() -> None:
    runs = read_results(StudyFolder(ROOT / "results" / "precision")).stages["compare"]
    text = words("gpu")
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
    assert said in words("execution")


def test_what_the_length_of_a_test_does_is_what_was_measured() -> None:
    lengths = [
        length
        for optimizers in kept("suggestion_lengths").values()
        for found in optimizers.values()
        for length in found["lengths"]
    ]
    none, all_of = Counter[int](), Counter[int]()
    for length in lengths:
        all_of[length["steps"]] += 1
        none[length["steps"]] += not length["suggestion"]["ramp"]
    said = f"{none[100]} of {all_of[100]} ramps of 100 steps found no range, and {none[60]} of {all_of[60]} of 60 steps"
    text = words("range-tests")
    assert said in text
    assert none[300] == none[1000] == 0
    assert f"at 1,000 all {all_of[1000]} found one" in text
    assert none[100] * 2 == all_of[100], "troubleshooting.md: at 100, half of the ramps"


def test_how_the_race_compares_with_the_ramp_is_what_was_measured() -> None:
    near, widest, worst = Counter[str](), Counter[str](), Counter[str]()
    cases = compared = higher = 0
    for optimizers in kept("suggestion_lengths").values():
        for found in optimizers.values():
            cases += 1
            tests = [length for length in found["lengths"] if length["steps"] >= 100]
            for rule in ("ramp", "race"):
                rates = [
                    log10(each["suggestion"][rule])
                    for each in tests
                    if each["suggestion"][rule]
                ]
                near[rule] += max(rates) - min(rates) <= 0.3
                widest[rule] = max(widest[rule], max(rates) - min(rates))
            pairs = [each["regret"] for each in tests if each["regret"]["ramp"] is not None]
            for rule in ("ramp", "race"):
                worst[rule] = max(worst[rule], *(pair[rule] for pair in pairs))
            compared += len(pairs)
            higher += sum(pair["race"] > pair["ramp"] for pair in pairs)
    said = (
        f"Within 0.3 decades stayed `valley` in {near['ramp']} and the race in {near['race']} of {cases} cases "
        f"(largest distance {widest['race']:.2f} against {widest['ramp']:.2f}); the worst regret was "
        f"{worst['race']:.3f} against {worst['ramp']:.3f}, and in none of {compared} tests was the race's the higher"
    )
    assert said in words("range-tests")
    assert higher == 0


def test_how_noise_scales_compare_with_critical_sizes_is_what_was_measured() -> None:
    ratios = [
        found["noise_scale"] / found["critical_size"]
        for optimizers in kept("critical_batch").values()
        for moments in optimizers.values()
        for found in moments.values()
    ]
    near = sum(0.5 <= ratio <= 2 for ratio in ratios)
    said = (
        f"Within a factor of two in {near} of {len(ratios)}; the noise scale is {min(ratios):.1f} to "
        f"{max(ratios):.1f} times the critical size"
    )
    assert said in words("range-tests")


def test_the_best_of_the_grid_of_finders_is_what_was_measured() -> None:
    found = kept("framework_finders")
    said = f"(the best was {found['best_lr']:.1e}, loss {found['best_loss']:.2f})"
    assert said in words("own-loop")


@pytest.mark.parametrize(
    "name", ["adaptive-optimizers", "learning-rate-and-batch-size", "batch-augmentation"]
)
def test_what_a_full_study_takes_is_what_is_computed(name: str) -> None:
    stages = load_study(name).stages
    total = operations([run for stage in stages for run in expand(stage)])
    (line,) = (
        line for line in page("full-scale").splitlines() if line.startswith(f"| `{name}`")
    )
    seconds = total / 1e13
    time = f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
    assert line.endswith(f"| {total:.1e} | {time} |".replace("e+", "e"))
