from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ngbench.disk.located_yaml import parse_yaml
from ngbench.errors import ParameterError, StudyError, UnknownNameError
from ngbench.experiments.studies.loader import dump_study, find_study, load_study, parse_study, study_names
from ngbench.experiments.studies.plan import expand_arms, plan_cells
from ngbench.running.option_fields import options_of
from ngbench.running.request import RunOptions

PUBLISHED = [f"figure-2.{n}" for n in (7, 9)] + [f"figure-3.{n}" for n in range(1, 5)]
PUBLISHED += [f"figure-4.{n}" for n in range(1, 9)] + [f"figure-5.{n}" for n in range(7, 17)] + ["table-3.1"]


def test_every_figure_and_table_has_a_study_and_they_come_in_order():
    names = study_names()
    assert names[: len(PUBLISHED)] == PUBLISHED
    assert set(names[len(PUBLISHED) :]) >= {"refresh", "damping", "batch-size"}


@pytest.mark.parametrize("name", study_names())
def test_a_study_of_the_package_survives_the_way_through_yaml(name):
    study = load_study(find_study(name)).study
    text = dump_study(study)
    assert parse_study(parse_yaml(text, f"{name}.yaml")).study == study


@pytest.mark.parametrize("name", study_names())
def test_each_scale_of_a_study_runs_something_and_every_claim_names_what_some_scale_runs(name):
    study = load_study(find_study(name)).study
    ran = {scale: plan_cells(study, scale) for scale in ("smoke", "laptop", "full")}
    assert all(ran.values())
    assert study.claims
    for claim in study.claims:
        assert "smoke" not in claim.scales
        assert any(
            claim.panels is None or cell.panel.name in claim.panels for scale in claim.scales for cell in ran[scale]
        )


def test_a_study_of_everything_survives_too(parse):
    loaded = parse(
        ("claims:", "tune: {space: {lr: [0.1], momentum: {low: 0.1, high: 0.9}}}\npublished: {figure: '4.1'}\nclaims:"),
        ("optimizer: adam}", "optimizer: adam, published: {optimizer: adam, position_pairs: radius 0}}"),
        (
            "right: Adam}",
            "right: {arm: Adam, divided_by: KFAC 0.01, batch_size: 64, at: {every: 95%, after: 3}}, tolerance: 2%}\n"
            "  - {name: o, says: s, measurement: metric.accuracy, at: {seconds: equal}, order: [Adam, [KFAC 0.1]]}\n"
            "  - {name: grows, says: s, measurement: step_time, left: Adam, relation: falls_with_batch_size}",
        ),
        ("batch_sizes: [64, 128]", "batch_sizes: [64, 128], by_batch_size: {64: {Adam: {lr: 1e-3}}}"),
        ("laptop: {minutes: 1,", "laptop: {minutes: 1, tune: false, panels: {toy: {epochs: 2}},"),
    )  # fmt: skip
    text = dump_study(loaded.study)
    again = parse_study(parse_yaml(text, "mine.yaml")).study
    assert again == loaded.study
    assert again.panels[0].by_batch_size[64]["Adam"]["lr"] == 1e-3
    assert dump_study(again) == text


def test_a_product_is_one_arm_for_each_combination(parse):
    loaded = parse(
        (
            'name: "KFAC {damping}", optimizer: kfac, product: {damping: [0.1, 0.01]}',
            'name: "{method} {refresh}", hyperparameters: {lr: 0.2, momentum: 0.5}, product: {method: {KFAC: '
            "{optimizer: kfac}, KPSVD: {optimizer: kpsvd, lr: 0.1}}, refresh: {once: {curvature_interval: once}, 10: "
            "{curvature_interval: 10}}}",
        ),
        ("left: KFAC 0.1", "left: KFAC once"),
    )
    arms = expand_arms(loaded.study)[1:]
    assert [arm.name for arm in arms] == ["KFAC once", "KFAC 10", "KPSVD once", "KPSVD 10"]
    assert [arm.runs for arm in arms] == ["kfac", "kfac", "kpsvd", "kpsvd"]
    assert arms[3].hyperparameters == {"lr": 0.1, "momentum": 0.5, "curvature_interval": 10}
    assert arms[3].axes == {"lr": 0.1, "curvature_interval": 10}
    assert [arm.published.optimizer for arm in arms] == ["kfac", "kfac", "kpsvd", "kpsvd"]


def test_settings_of_more_special_places_win_and_options_are_merged(parse):
    loaded = parse(
        ("claims:", "settings: {epochs: 9, early_stopping: 4, set: {data: stand-in, examples: 99}}\nclaims:"),
        ("batch_sizes: [64, 128]", "batch_sizes: [64, 128], epochs: 8, seed: 3"),
        ("full: {minutes: 2, epochs: 30, seeds: 5}", "full: {minutes: 2, panels: {toy: {batch_sizes: [32], seed: 5}}}"),
        ("batch_size: 64", "batch_size: 32"),
    )
    (smoke, _), (full,) = plan_cells(loaded.study, "smoke"), plan_cells(loaded.study, "full")
    assert (smoke.settings.epochs, smoke.settings.seed, smoke.settings.early_stopping) == (1, 3, 4)
    assert smoke.options == {"data": "stand-in", "examples": 64}
    assert (full.batch_size, full.settings.epochs, full.settings.seed) == (32, 8, 5)
    assert full.options["examples"] == 99


def test_a_study_sets_schedules_for_all_arms_and_for_one(parse):
    loaded = parse(
        ("claims:", 'settings: {schedule: "steps:0.10@1/2", warmup: 3}\nclaims:'),
        ("optimizer: adam}", "optimizer: adam, hyperparameters: {schedule: cosine, warmup: 1epoch}}"),
        ("seeds: 3}", "seeds: 3, warmup: 2 epochs}"),
    )
    small = plan_cells(loaded.study, "laptop")[0]
    assert (small.settings.schedule, small.settings.warmup) == ("steps:0.1@1/2", "2epochs")
    assert small.arms[0].hyperparameters == {"schedule": "cosine", "warmup": "1epoch"}
    # Settings reach runs by the names of options.
    assert {"schedule", "warmup"} <= options_of(RunOptions).keys()


def test_hyperparameters_of_a_panel_and_a_batch_size_are_on_top_of_the_arms_own(parse):
    loaded = parse(
        ("optimizer: adam}", "optimizer: adam, hyperparameters: {lr: 1, beta1: 0.5}}"),
        (
            "batch_sizes: [64, 128]",
            "batch_sizes: [64, 128], hyperparameters: {Adam: {lr: 2}}, by_batch_size: {128: {Adam: {lr: 3}}}",
        ),
    )
    small, large = plan_cells(loaded.study, "laptop")
    assert small.arms[0].hyperparameters == {"lr": 2, "beta1": 0.5}
    assert large.arms[0].hyperparameters == {"lr": 3, "beta1": 0.5}


def test_only_the_arms_of_the_panel_and_the_scale_run(parse):
    loaded = parse(
        ("batch_sizes: [64, 128]", "batch_sizes: [64], arms: [Adam, KFAC 0.1]"),
        ("laptop: {minutes: 1,", "laptop: {minutes: 1, arms: [Adam],"),
    )
    names = {scale: [arm.name for arm in plan_cells(loaded.study, scale)[0].arms] for scale in ("laptop", "full")}
    assert names == {"laptop": ["Adam"], "full": ["Adam", "KFAC 0.1"]}


def test_a_skipped_scale_runs_nothing(parse):
    loaded = parse(("full: {minutes: 2, epochs: 30, seeds: 5}", "full: {minutes: 0, skip: no such machine}"))
    assert plan_cells(loaded.study, "full") == []


# What is wrong, by the text that it stands in the place of, the line and key that must be named, and the reason.
REFUSED = [
    ("question:", "qestion:", 4, "qestion", "unknown key 'qestion'; did you mean 'question'?"),
    ("batch_sizes: [64, 128]", "batchsizes: [64]", 7, "panels.0.batchsizes", "did you mean 'batch_sizes'?"),
    ("epochs: 30", "epoch: 30", 14, "scales.full.epoch", "did you mean 'epochs'?"),
    ("relation: below", "realtion: below", 18, "claims.0.realtion", "did you mean 'relation'?"),
    ("seeds: 3", "seeds: three", 13, "scales.laptop.seeds", "'three' is not allowed: input should be a valid integer"),
    ("seeds: 3", "seeds: true", 13, "scales.laptop.seeds", "True is not allowed"),
    ("seeds: 3", "seeds: 0", 13, "scales.laptop.seeds", "0 is not allowed: input should be greater than or equal to 1"),
    ("minutes: 1,", "minutes: '1',", 13, "scales.laptop.minutes", "'1' is not allowed"),
    ("measure: compare", "measure: comparison", 5, "measure", "'comparison' is not allowed"),
    ("batch_sizes: [64, 128]", "batch_sizes: 64", 7, "panels.0.batch_sizes", "64 is not allowed"),
    ("batch_sizes: [64, 128]", "set: [1]", 7, "panels.0.set", "[1] is not allowed"),
    ("  full: {minutes: 2, epochs: 30, seeds: 5}\n", "", 11, "scales", "the key 'full' is missing"),
    ("title: Small nets\n", "", 1, "", "the key 'title' is missing"),
    ("study: mine", "study: yours", 1, "study", "'yours' must be the name of the file, 'mine'"),
    ("epochs: 3,", "epochs: 3, arms: [Adm],", 13, "scales.laptop.arms.0", "unknown arm 'Adm'; did you mean 'Adam'?"),
    ("epochs: 3,", "panels: [tow],", 13, "scales.laptop.panels.0", "unknown panel 'tow'; did you mean 'toy'?"),
    ("epochs: 3,", "layer: 5,", 13, "scales.laptop.layer", "layer has no use in a study that measures compare"),
    ("{panel: toy,", "{panel: tyo,", 16, "figure.rows.0.0.panel", "unknown panel 'tyo'"),
    ("batch_size: 64", "batch_size: 65", 16, "figure.rows.0.0.batch_size", "unknown batch size '65'"),
    ("batch_size: 64", "y: loss", 16, "figure.rows.0.0.y", "unknown quantity 'loss'"),
    ("batch_size: 64", "y: step_time", 16, "figure.rows.0.0.y", "x must be arm or batch_size, not epoch"),
    ("batch_size: 64", "y: samples", 16, "figure.rows.0.0.y", "samples are drawn in a study that measures gan"),
    ("left: KFAC 0.1", "left: KFAC", 18, "claims.0.left", "unknown arm 'KFAC'; did you mean 'KFAC 0.1'?"),
    ("left: KFAC 0.1", "left: [Adam, KFAC]", 18, "claims.0.left.1", "unknown arm 'KFAC'"),
    ("right: Adam", "right: {arm: Adam, minus: KFAC}", 18, "claims.0.right.minus", "unknown arm 'KFAC'"),
    ("right: Adam", "right: {arm: Adam, panel: p}", 18, "claims.0.right.panel", "unknown panel 'p'"),
    ("right: Adam", "right: {arm: Adam, batch_size: 9}", 18, "claims.0.right.batch_size", "unknown batch size '9'"),
    ("right: Adam", "right: true", 18, "claims.0.right", "True is not allowed"),
    ("right: Adam", "right: {of: Adam}", 18, "claims.0.right.of", "unknown key 'of'"),
    ("measurement: training_loss", "measurement: train_loss", 18, "claims.0.measurement", "is called 'training_loss'"),
    ("measurement: training_loss", "measurement: error_1", 18, "claims.0.measurement", "unknown quantity 'error_1'"),
    ("measurement: training_loss", "measurement: step_time, at: best", 18, "claims.0.at", "one number for a run"),
    ("relation: below", "relation: under", 18, "claims.0.relation", "'under' is not allowed"),
    ("relation: below", "relation: level", 18, "claims.0", "level needs a tolerance above 0"),
    ("relation: below", "relation: below, tolerance: a bit", 18, "claims.0.tolerance", "percentage such as 2%"),
    ("relation: below", "relation: below, at: {epoch: 1, step: 2}", 18, "claims.0.at", "one of epoch, step"),
    ("claims:", "settings: {schedule: cosin}\nclaims:", 17, "settings.schedule", "schedule=cosin is not allowed"),
    ("epochs: 3,", "warmup: 1.5,", 13, "scales.laptop.warmup", "warmup=1.5 is not allowed, it must be steps"),
    ("relation: below", "relation: below, at: soon", 18, "claims.0.at", "'soon' is not allowed"),
    ("relation: below", "relation: below, at: {every: 95}", 18, "claims.0.at.every", "95 is not allowed"),
    ("relation: below", "relation: below, order: [Adam, KFAC 0.1]", 18, "claims.0", "order stands instead of left"),
    ("relation: below", "relation: below, scales: [tiny]", 18, "claims.0.scales.0", "'tiny' is not allowed"),
    ("relation: below", "relation: below, panels: [tow]", 18, "claims.0.panels.0", "unknown panel 'tow'"),
    ("relation: below, right: Adam", "relation: below", 18, "claims.0", "a claim needs left, relation and right"),
    ("optimizer: adam", "approximation: kfac", 9, "arms.0.approximation", "have optimizer"),
    (", optimizer: adam", "", 9, "arms.0", "the arm 'Adam' has no optimizer"),
    ("name: Adam, optimizer: adam", "name: KFAC 0.1, optimizer: adam", 10, "arms.1.name", "two arms are called"),
    ('"KFAC {damping}"', "KFAC", 10, "arms.1.name", "the name must hold {damping}"),
    ('"KFAC {damping}"', '"KFAC {damping} {lr}"', 10, "arms.1.name", "unknown axis 'lr'"),
    ("optimizer: adam", "optimizer: adam, tune: {lr: [1]}", 9, "arms.0.tune", "no tune section"),
    ("epochs: 3,", "tune: {trials: 3},", 13, "scales.laptop.tune", "no tune section"),
    ("claims:", "tune: {space: {lr: {low: 2, high: 1}}}\nclaims:", 17, "tune.space.lr", "low=2.0 must be below"),
    ("claims:", "tune: {space: {lr: 0.1}}\nclaims:", 17, "tune.space.lr", "0.1 is not allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "key", "message"), REFUSED)
def test_what_is_wrong_is_refused_with_its_line_and_key(parse, old, new, line, key, message):
    with pytest.raises(StudyError) as refused:
        parse((old, new))
    where = f"'mine.yaml' line {line}{f', {key}' if key else ''}: "
    assert str(refused.value).startswith(where), str(refused.value)
    assert message in str(refused.value)
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)


def test_the_topmost_of_several_problems_is_named(parse):
    with pytest.raises(StudyError, match="line 13, "):
        parse(("left: KFAC 0.1", "left: nobody"), ("epochs: 3,", "epochs: 3, arms: [nobody],"))
    with pytest.raises(StudyError, match="line 4, "):
        parse(("seeds: 5", "seeds: x"), ("question:", "questions:"))


def test_a_trend_needs_several_batch_sizes(parse):
    with pytest.raises(StudyError, match="two batch sizes or more"):
        parse(("[64, 128]", "[64]"), ("relation: below, right: Adam", "relation: rises_with_batch_size"))


def test_fisher_errors_need_steps_and_one_layer(parse):
    changes = (
        ("measure: compare", "measure: fisher-error"),
        ("optimizer: adam", "approximation: kfac"),
        ("optimizer: kfac, product: {damping: [0.1, 0.01]}", "approximation: kpsvd, product: {damping: [0.1]}"),
        ("batch_size: 64", "x: step, y: error_1"),
        ("measurement: training_loss", "measurement: error_1"),
    )
    with pytest.raises(StudyError, match=r"scales.smoke.epochs: epochs has no use"):
        parse(*changes)
    without = [("epochs: 1, ", "steps: 2, "), ("epochs: 3, ", ""), ("epochs: 30, ", "")]
    with pytest.raises(StudyError, match=r"scales.laptop: steps is missing"):
        parse(*changes, *without)
    with_steps = [("epochs: ", "steps: ")]
    assert parse(*changes, *with_steps).study.measure == "fisher-error"
    with pytest.raises(StudyError, match="measures one layer"):
        parse(*changes, *with_steps, ("minutes: 1,", "minutes: 1, layer: all,"))
    with pytest.raises(StudyError, match="x must be step, arm or batch_size, not seconds"):
        parse(*changes, *with_steps, ("x: step", "x: seconds"))


@pytest.mark.parametrize("content", ["", "- a\n", "3\n"])
def test_a_file_without_keys_is_no_study(content):
    with pytest.raises(StudyError, match="a study is a mapping with the keys study, title"):
        parse_study(parse_yaml(content, "mine.yaml"))


def test_names_and_paths_are_found_or_refused(tmp_path: Path, text):
    assert find_study("figure-3.2").is_file()
    with pytest.raises(UnknownNameError, match=re.escape("unknown study 'figure-3.22'; did you mean 'figure-3.2'?")):
        find_study("figure-3.22")
    with pytest.raises(StudyError, match=r"there is no study file .*mine.yaml"):
        find_study(str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text(text)
    assert load_study(find_study(str(tmp_path / "mine.yaml"))).study.study == "mine"
    (tmp_path / "mine.yaml").write_text(text + "\nstudy: mine\n")
    with pytest.raises(ParameterError, match="has the key 'study' again"):
        load_study(tmp_path / "mine.yaml")


def test_reading_all_studies_loads_no_torch():
    program = (
        "import sys; from ngbench.experiments.studies.loader import find_study, load_study, study_names; "
        "[load_study(find_study(name)) for name in study_names()]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
