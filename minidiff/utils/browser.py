"""Chromium, where there is one: `chromium` finds it, `print_pdf` prints a page with it. What it is not: a test's browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from minidiff.utils.files import write_whole

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
SECONDS = 120  # that a page may take on a busy machine


class BrowserError(ValueError):
    """A page could not be printed; the text says why."""


def chromium() -> str | None:
    """The browser that the variable CHROMIUM names, or the first of NAMES on the path; None where there is none."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


def print_pdf(page: Path, pdf: Path, browser: str) -> None:
    """Prints an HTML file as a PDF, on the paper that its `@page` names, with its colours. Raises BrowserError."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "page.pdf")
        flags = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={folder}/profile"]
        if getattr(os, "geteuid", lambda: 1)() == 0:  # Chromium's own sandbox doesn't work for root
            flags.append("--no-sandbox")
        command = [browser, *flags, f"--print-to-pdf={made}", page.resolve().as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BrowserError(f"{page} could not be printed with {browser} ({type(error).__name__}): does it start?") from None
        if not made.is_file() or not made.stat().st_size:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise BrowserError(f"{page} could not be printed with {browser} (exit status {done.returncode}: {said}).")
        write_whole(pdf, made.read_bytes())
