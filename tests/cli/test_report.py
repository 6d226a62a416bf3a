from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ngbench import cli


def run_record(label="sgd", seed=0, loss=0.5, **changes):
    return {
        "label": label,
        "task": "curves-autoencoder",
        "data": {
            "name": "CURVES",
            "origin": "generated",
            "description": "curves",
            "digest": "ab",
            "train_examples": 10,
            "validation_examples": 5,
        },
        "optimizer": {"name": "sgd", "hyperparameters": {"lr": 0.1}},
        "seed": seed,
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 5,
        "status": "done",
        "history": {
            "epoch": [1],
            "step": [2],
            "train_loss": [loss],
            "validation_loss": [loss],
            "elapsed_seconds": [0.2],
        },
        "steps": {"seconds": [0.1, 0.1], "kind": ["plain", "plain"]},
        **changes,
    }


def document(*runs, **changes):
    environment = {
        "ngbench": "0.1.0",
        "python": "3.11",
        "platform": "Linux",
        "processor": "CPU",
        "cores": 2,
        "memory_bytes": 2**33,
    }
    return {"schema_version": 1, "environment": environment, "runs": list(runs), **changes}


@pytest.fixture
def records(tmp_path):
    directory = tmp_path / "records"
    directory.mkdir()
    for label in ("sgd", "adam"):
        (directory / f"{label}-seed0.json").write_text(json.dumps(document(run_record(label))))
    return directory


@pytest.fixture
def report(capsys):
    def report(*arguments):
        code = cli.main(["report", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return report


@pytest.mark.parametrize(("name", "opening"), [("page.html", "<!doctype html>"), ("page.md", "# Mine\n")])
def test_a_page_is_written_and_named(report, records, tmp_path, name, opening):
    page = tmp_path / name
    page.write_text("an older page")
    assert report(records, "--output", page, "--title", "Mine") == (0, f"{page}\n", "")
    text = page.read_text()
    assert text.startswith(opening)
    assert "1 section · 2 arms · 2 runs" in text


def test_a_page_without_a_name_is_written_here(report, records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert report(records) == (0, "report.html\n", "")
    assert (tmp_path / "report.html").exists()


def test_a_directory_and_its_export_are_the_same_runs(report, records, tmp_path):
    export = tmp_path / "export.json"
    export.write_text(json.dumps(document(run_record("sgd"), run_record("adam"), run_record("adam", seed=1))))
    page = tmp_path / "page.html"
    assert report(records, export, "--output", page)[0] == 0
    assert "1 section · 2 arms · 3 runs" in page.read_text()
    assert "2 runs were given twice and counted once." in page.read_text()


def test_every_bad_file_has_one_sentence_and_nothing_is_written(report, records, tmp_path):
    (records / "corrupt.json").write_text("{")
    (records / "newer.json").write_text(json.dumps(document(schema_version=99)))
    page = tmp_path / "page.html"
    code, out, err = report(records, tmp_path / "nowhere", "--output", page)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert [line.startswith("Error: ") for line in lines] == [True] * 3
    assert "corrupt.json' is not JSON" in lines[0]
    assert "newer.json' has schema version 99" in lines[1]
    assert "there is no record" in lines[2]
    assert not page.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "page.pdf"], "output=page.pdf is not allowed, its name must end in .html or .md"),
        (["--output", "-"], "output=- is not allowed"),
        (["--output", "nowhere/page.html"], "there is no directory 'nowhere'"),
        (["--output", "page.html", "--reference", "adm"], "unknown reference arm 'adm'; did you mean 'adam'?"),
    ],
)
def test_bad_options_are_one_sentence(report, records, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = report(records, *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert said in err
    assert not (tmp_path / "page.html").exists()


def test_a_malformed_extra_is_one_sentence(report, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document(run_record(), fisher_error={"layer": 1})))
    code, _, err = report(path, "--output", tmp_path / "page.html")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "a.json' is invalid at fisher_errors.0.steps" in err


def test_a_missing_sample_image_is_warned_of(report, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document(run_record(samples=[{"epoch": 1, "path": "gone.png"}]))))
    code, _, err = report(path, "--output", tmp_path / "page.html")
    assert code == 0
    assert err.startswith("Warning: there is no image")
    assert "gone.png" in err


def test_a_target_and_a_reference_reach_the_page(report, records, tmp_path):
    page = tmp_path / "page.md"
    assert report(records, "--output", page, "--reference", "adam", "--target-loss", "0.25")[0] == 0
    text = page.read_text()
    assert "epochs to 0.250" in text
    (cost,) = [line for line in text.splitlines() if line.startswith("| adam") and "reference" in line]
    assert cost


def test_a_page_is_made_without_torch(records, tmp_path):
    program = (
        "import sys; from ngbench.cli import main; code = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules; sys.exit(code)"
    )
    command = [sys.executable, "-c", program, "report", str(records), "--output", str(tmp_path / "page.html")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_sections_have_figures_of_their_own_and_need_no_page(records, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (records / "other.json").write_text(json.dumps(document(run_record(task="digits"))))
    assert cli.main(["report", "records", "--figures", "drawn"]) == 0
    drawn = capsys.readouterr().out.split()
    assert {"drawn/00/loss_by_epoch.png", "drawn/01/loss_by_epoch.png"} <= set(drawn)
    assert sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "drawn").rglob("*.png")) == sorted(drawn)


def test_a_kind_of_figure_that_is_not_drawn_is_said(records, capsys):
    assert cli.main(["report", str(records), "--figures", "a.jpg"]) == 2
    said = "figures=a.jpg is not allowed, it must be a directory or end in .png, .svg, .pdf"
    assert said in capsys.readouterr().err


def test_what_cannot_be_drawn_is_said(records, capsys, tmp_path):
    history = {"epoch": [], "step": [], "train_loss": [], "validation_loss": [], "elapsed_seconds": []}
    nothing = run_record(history=history, steps={"seconds": [], "kind": []})
    (tmp_path / "nothing.json").write_text(json.dumps(document(nothing)))
    assert cli.main(["report", str(tmp_path / "nothing.json"), "--figures", str(tmp_path / "drawn")]) == 2
    assert "there is nothing to draw in these records" in capsys.readouterr().err
