"""``python -m ngbench``."""

import sys

from ngbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
