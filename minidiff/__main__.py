"""`python -m minidiff` is `minidiff`."""

from minidiff.cli import main

if __name__ == "__main__":
    main()
