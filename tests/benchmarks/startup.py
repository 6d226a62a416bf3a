"""What stands around a run: whole commands, in units of one import of torch.

    python tests/benchmarks/startup.py [--rounds N]

Each round imports torch in a process of its own and starts each command once, so that what the machine does meanwhile
hits all of them alike. Medians over the rounds, and the least and the largest.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

IMPORT = [sys.executable, "-c", "import torch"]
COMMANDS = [
    "compare curves-autoencoder -o sgd,adam,kfac --steps 1 --quiet",
    "train curves-autoencoder -o sgd --steps 100 --quiet",
    "train curves-autoencoder -o sgd --steps 1 --quiet",
]


def seconds(command: list[str], directory: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=directory)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    ratios: dict[str, list[float]] = {command: [] for command in COMMANDS}
    imports = []
    with tempfile.TemporaryDirectory() as directory:
        seconds(IMPORT, directory)
        for _ in range(rounds):
            imports.append(seconds(IMPORT, directory))
            for command, found in ratios.items():
                found.append(seconds([sys.executable, "-m", "ngbench", *command.split()], directory) / imports[-1])
    print(f"import torch: {statistics.median(imports):.2f} s")
    for command, found in ratios.items():
        print(f"{statistics.median(found):5.2f} ({min(found):.2f}-{max(found):.2f})  ngbench {command}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
