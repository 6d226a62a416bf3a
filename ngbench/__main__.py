"""``python -m ngbench``."""

import sys

from ngbench.cli.supervised import run

if __name__ == "__main__":
    sys.exit(run())
