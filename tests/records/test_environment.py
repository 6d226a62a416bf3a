from __future__ import annotations

import json
import shlex
import subprocess
import sys

import torch

from ngbench.records.command_line import called_as
from ngbench.records.environment import describe_environment
from ngbench.records.provenance import EnvironmentRecord


def test_the_environment_is_a_valid_record() -> None:
    record = describe_environment()
    assert EnvironmentRecord.model_validate(record.model_dump()) == record
    assert record.torch == torch.__version__
    assert record.threads == torch.get_num_threads()
    assert record.cores >= 1
    assert record.memory_bytes > 2**26


def test_torch_is_imported_only_if_asked() -> None:
    code = (
        "import json, sys; from ngbench.records.environment import describe_environment as d; "
        "record = d(with_torch=False); print(json.dumps([record.torch, 'torch' in sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == [None, False]


def test_a_call_from_python_has_no_command_and_says_so() -> None:
    record = describe_environment(["torch"])
    assert (record.called_from, record.command) == ("Python", None)
    assert record.host
    assert record.packages.keys() == {"ngbench", "numpy", "torch"}
    assert record.packages["ngbench"].version == record.ngbench


def test_a_command_is_quoted_for_a_shell() -> None:
    with called_as(["ngbench", "train", "it's", "-o", "a b,c"]):
        record = describe_environment()
    assert record.called_from == "shell"
    assert record.command is not None
    assert shlex.split(record.command) == ["ngbench", "train", "it's", "-o", "a b,c"]
    assert describe_environment().command is None


def test_calls_share_a_setting_and_containers_a_machine() -> None:
    with called_as(["ngbench", "train"]):
        called = describe_environment()
    here = describe_environment()
    assert called != here
    assert called.setting == here.setting
    elsewhere = here.model_copy(update={"host": "pod-17", "packages": {}})
    assert elsewhere.setting != here.setting
    assert elsewhere.machine == here.machine != here.model_copy(update={"processor": "another"}).machine


def test_a_record_from_before_says_nothing_of_its_making() -> None:
    old = describe_environment().model_dump(exclude={"host", "packages", "called_from", "command"})
    record = EnvironmentRecord.model_validate({**old, "git_commit": "a stranger's"})
    assert (record.host, record.packages, record.called_from, record.command) == (None, {}, None, None)
    assert "git_commit" not in record.model_dump()
