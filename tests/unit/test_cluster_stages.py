"""What a person sees while something takes long."""

import re

import pytest

from cluster.stages import stage


def test_a_step_is_announced_before_it_is_done_and_timed_after(capsys: pytest.CaptureFixture[str]) -> None:
    with stage("installing etcd"):
        assert capsys.readouterr().out == "installing etcd …\n"
    assert re.fullmatch(r"installing etcd: \d+\.\d s\n", capsys.readouterr().out)


def test_a_step_that_fails_is_given_no_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no etcd"), stage("installing etcd"):
        raise ValueError("no etcd")
    assert capsys.readouterr().out == "installing etcd …\n"
