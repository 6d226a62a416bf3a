"""A stand-in that takes the place of data that cannot be had: chosen once for all processes of a command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHELF = '''
    import os

    import torch
    from torch import nn

    from ngbench import AdversarialTask, Categorical, Data, DataSource, Task
    from ngbench.data.choice import official_or_stand_in
    from ngbench.data.download import DownloadError

    def images(origin):
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(40) % 4
        pixels = torch.rand(40, 1, 8, 8, generator=generator) - 1
        source = DataSource("SHELF", origin, "noise", "00" if origin == "original" else "11")
        return Data(pixels[:32], labels[:32], pixels[32:], labels[32:], source)

    def load(directory):
        def official():
            first = not os.path.exists("attempts")
            with open("attempts", "a") as file:
                file.write("attempt\\n")
            if first:
                raise DownloadError("the shelf is empty")
            return images("original")

        return official_or_stand_in("SHELF", "auto", official, lambda: images("stand-in"))

    def shelf() -> Task:
        """Images of which the files arrive after the first attempt."""
        model = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
        return Task(model=model, data=load, likelihood=Categorical(), batch_size=8, epochs=1)

    def stage() -> AdversarialTask:
        """The same images for two players."""

        return AdversarialTask(
            generator=lambda: nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8))),
            critic=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 1)),
            data=load,
            noise=3,
            batch_size=8,
            epochs=1,
            critic_steps=1,
        )
'''


@pytest.mark.parametrize(
    "line", ["compare shelf -o sgd,adam,kfac", "gan stage -p sgda,adam,kfac3 --fid-samples 20"], ids=["compare", "gan"]
)
def test_a_stand_in_is_chosen_and_told_of_once_for_all_arms(
    line: str,
    distribute: Callable[..., None],
    ngbench: Callable[..., Any],
    read_runs: Callable[..., dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    distribute("dist-shelf", {"shelf": SHELF}, tasks={"shelf": "shelf:shelf", "stage": "shelf:stage"})
    monkeypatch.setenv("NGBENCH_DATA_DIR", str(tmp_path / "data"))
    outcome = ngbench(f"{line} --threads 1 --export-json -")
    assert outcome.code == 0, outcome.err
    told = "a stand-in takes the place of SHELF: the shelf is empty"
    # This process logs to pytest, those of the arms to their standard error.
    assert caplog.text.count(told) + outcome.err.count(told) == 1
    assert Path("attempts").read_text() == "attempt\n"
    runs = read_runs(outcome.out)
    assert [run["status"] for run in runs.values()] == ["done"] * 3
    assert {run["data"]["origin"] for run in runs.values()} == {"stand-in"}
