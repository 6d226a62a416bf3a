from __future__ import annotations

import base64
import os

import pytest

from ngbench.errors import RecordError
from ngbench.records.record import SampleRecord
from ngbench.report.blocks import Image
from ngbench.report.sample_images import with_images
from ngbench.report.views.samples import samples
from tests.report.conftest import build_document


def samples_of(make_run, directory, *entries) -> list[Image]:
    """What a page shows of the images of a record in the directory."""
    run = make_run().model_copy(update={"samples": [SampleRecord(**entry) for entry in entries]})
    document = build_document(with_images(run, directory / "record.json", "runs.0."))
    return [image for block in samples(document) for row in block.rows for image in row.shown]


def test_images_lie_in_the_record_or_beside_it(make_run, tmp_path, png):
    (tmp_path / "epoch-2.png").write_bytes(png)
    text = base64.b64encode(png).decode()
    inside, beside = samples_of(make_run, tmp_path, {"epoch": 1, "png": text}, {"epoch": 2, "path": "epoch-2.png"})
    assert inside.png == beside.png == png
    assert (inside.size, inside.path, beside.path) == ((8, 4), "", "")


def test_an_image_that_is_gone_is_known_to_be(make_run, tmp_path):
    (gone,) = samples_of(make_run, tmp_path, {"epoch": 1, "path": "gone.png"})
    assert (gone.png, gone.size, gone.path) == (None, (0, 0), tmp_path / "gone.png")


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ({"epoch": 1, "png": "%%%"}, "runs.0.samples.0.png: it is not base64"),
        ({"epoch": 1, "png": "c2VjcmV0"}, "is not a PNG image"),
        ({"epoch": 1, "path": "secret.txt"}, "secret.txt' is not a PNG image"),
        ({"epoch": 1, "path": "."}, "cannot read the sample image"),
    ],
)
def test_what_is_no_image_is_refused(make_run, tmp_path, sample, said):
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(RecordError, match=said):
        samples_of(make_run, tmp_path, sample)


def test_of_many_images_eight_are_taken_with_the_first_and_the_last(make_run, tmp_path):
    found = samples_of(make_run, tmp_path, *({"epoch": at, "path": "gone.png"} for at in range(100)))
    epochs = [sample.name for sample in found]
    assert (len(epochs), epochs[0], epochs[-1]) == (8, "epoch 0", "epoch 99")


@pytest.mark.parametrize("way", ["absolute", "above", "link", "linked directory", "of the directory's name"])
def test_nothing_outside_of_the_records_directory_is_shown(make_run, tmp_path, png, way):
    inside, outside = tmp_path / "records", tmp_path / "records-of-mine"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.png").write_bytes(png)
    (inside / "linked.png").symlink_to(outside / "secret.png")
    (inside / "linked").symlink_to(outside)
    path = {
        "absolute": str(outside / "secret.png"),
        "above": "../records-of-mine/secret.png",
        "link": "linked.png",
        "linked directory": "linked/secret.png",
        "of the directory's name": "../records/../records-of-mine/secret.png",
    }[way]
    (found,) = samples_of(make_run, inside, {"epoch": 1, "path": path})
    assert found.png is None


def test_a_directory_that_is_a_link_itself_shows_its_images(make_run, tmp_path, png):
    (tmp_path / "real" / "samples").mkdir(parents=True)
    (tmp_path / "real" / "samples" / "a.png").write_bytes(png)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (found,) = samples_of(make_run, tmp_path / "link", {"epoch": 1, "path": "samples/a.png"})
    assert found.png == png


def test_an_image_that_is_no_file_keeps_nobody_waiting(make_run, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(1 << 40)
    for path in ("pipe.png", "large.png", "x" * 300, "a\0b"):
        with pytest.raises(RecordError, match="cannot read the sample image"):
            samples_of(make_run, tmp_path, {"epoch": 1, "path": path})
