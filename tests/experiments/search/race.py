"""Takes trials from a storage as fast as it can, and prints which: one of several processes of a test."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ngbench.experiments.search.ledger import Ledger, Outcome, SearchedArm, TakenTrial
from ngbench.experiments.search.samplers import proposer
from ngbench.experiments.search.space import Choice
from ngbench.experiments.search.storage import SharedStorage

if __name__ == "__main__":
    space = {"x": Choice(tuple(range(int(sys.argv[2]))))}
    arm = SearchedArm("a", proposer("grid", space, 0, "minimize"), int(sys.argv[2]), {})
    ledger = Ledger(SharedStorage(Path(sys.argv[1])), [arm], {}, "minimize")
    print("ready", flush=True)
    sys.stdin.readline()
    while isinstance(claim := ledger.claim(), TakenTrial):
        print(claim.number, claim.point["x"])
        time.sleep(0.02)
        ledger.finish(claim, Outcome("done", float(claim.point["x"])))
