"""`python app.py` starts the demo; `python app.py --help` lists its options."""

import sys

from minidiff.cli import main

if __name__ == "__main__":
    main(["app", *sys.argv[1:]])
