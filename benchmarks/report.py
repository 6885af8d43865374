"""Seconds to write a study's report from its records, its size, and seconds until a browser shows it.

The browser is headless Chromium, a new page each time; "loaded" is its load event, "shown" when the figures near the
screen stand, if any, and "printed" when all of them do, as for a PDF.
Usage: python benchmarks/report.py DIR [repeats]
"""

import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

from playwright.sync_api import sync_playwright

SHOWN = """[...document.querySelectorAll('.plot')].every(plot => {
    const { top, width } = plot.getBoundingClientRect();
    return plot.querySelector('.main-svg') || !width || top > innerHeight;
})"""
UNTIL = "async () => { while (!(%s)) await new Promise(requestAnimationFrame); }"


def write(folder: str) -> tuple[float, Path]:
    """Seconds of `losslab report`, its imports included, and the page."""
    began = perf_counter()
    subprocess.run(
        [sys.executable, "-m", "losslab", "report", folder],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return perf_counter() - began, Path(folder).resolve() / "report.html"


def main() -> None:
    seconds, page_path = write(sys.argv[1])
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print(f"written in {seconds:.1f} s, {page_path.stat().st_size / 1e6:.1f} MB")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    times: dict[str, list[float]] = {"loaded": [], "shown": [], "printed": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(repeats):
            page = browser.new_page()
            began = perf_counter()
            page.goto(page_path.as_uri())
            times["loaded"].append(perf_counter() - began)
            page.evaluate(UNTIL % SHOWN)
            times["shown"].append(perf_counter() - began)
            page.evaluate(
                "window.dispatchEvent(new Event('beforeprint'))"
            )  # draws what is missing before it returns
            times["printed"].append(perf_counter() - began)
            page.close()
        browser.close()
    for name, each in times.items():
        print(
            f"{name}: median {median(each):.2f} s of {repeats} (from {min(each):.2f} to {max(each):.2f})"
        )


if __name__ == "__main__":
    main()
