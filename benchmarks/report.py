"""Seconds to write a study's report from its records, its size, and seconds until a browser has drawn it.

The browser is headless Chromium, a new page each time; "loaded" is its load event, "drawn" when the last figure stands.
Usage: python benchmarks/report.py DIR [repeats]
"""

import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

from playwright.sync_api import sync_playwright

DRAWN = "[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg'))"


def write(folder: str) -> tuple[float, Path]:
    """Seconds of `losslab report`, its imports included, and the page."""
    began = perf_counter()
    subprocess.run([sys.executable, "-m", "losslab", "report", folder], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - began, Path(folder).resolve() / "report.html"


def main() -> None:
    seconds, page_path = write(sys.argv[1])
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print(f"written in {seconds:.1f} s, {page_path.stat().st_size / 1e6:.1f} MB")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    loaded, drawn = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(repeats):
            page = browser.new_page()
            began = perf_counter()
            page.goto(page_path.as_uri())
            loaded.append(perf_counter() - began)
            page.wait_for_function(DRAWN)
            drawn.append(perf_counter() - began)
            page.close()
        browser.close()
    for name, times in (("loaded", loaded), ("drawn", drawn)):
        print(f"{name}: median {median(times):.2f} s of {repeats} (from {min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
