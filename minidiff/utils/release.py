"""Where this release of minidiff lies on the web: the one place for its addresses, and all of them follow its version.

What it is not: the fetching (pretrained/fetch.py). Notebooks install `WHEEL`; weights come from `FILES`; the studio links to
`LESSONS`. Documents and workflows spell the same addresses out, and tests/test_release.py compares them.
"""

from __future__ import annotations

from minidiff import __version__

REPOSITORY = "https://github.com/minidiff/minidiff"
FILES = f"{REPOSITORY}/releases/download/v{__version__}"  # what `make dist` makes
WHEEL = f"{FILES}/minidiff-{__version__}-py3-none-any.whl"
LESSONS = f"{REPOSITORY}/blob/v{__version__}/lessons"
COLAB = f"https://colab.research.google.com/github/minidiff/minidiff/blob/v{__version__}"
KAGGLE = f"https://kaggle.com/kernels/welcome?src={REPOSITORY}/blob/v{__version__}"
