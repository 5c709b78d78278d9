# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgenas import resources
from edgenas.errors import EdgenasError, UsageError
from edgenas.progress import Silent
from edgenas.seals import Seals
from edgenas.workflows.run_folder import Logged, Run

QUESTION = {"latency": "40%", "seed": 0, "shape": (1, 28, 28), "size": None}


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """A user's folder of each test's own, with the key of the seals."""


def counted(values: list[Any]) -> Any:
    """A stage that gives the next of `values` and fails when there is none."""
    return lambda: values.pop(0)


def test_the_same_question_goes_on_and_another_begins_anew(tmp_path: Path) -> None:
    first = Run.open(tmp_path, "host", QUESTION)
    assert not first.resumed
    again = Run.open(tmp_path, "host", dict(reversed(list(QUESTION.items()))))
    assert again.resumed
    assert again.folder == first.folder
    for other in ({**QUESTION, "seed": 1}, {**QUESTION, "more": None}, {"latency": "40%"}):
        begun = Run.open(tmp_path, "host", other)
        assert not begun.resumed
        assert begun.folder != first.folder
    assert not Run.open(tmp_path, "other", QUESTION).resumed


def test_the_newest_unfinished_run_is_resumed(tmp_path: Path) -> None:
    for stamp in ("20260101T000000", "20260301T000000", "20260201T000000"):
        begun = Run.open(tmp_path / "elsewhere", "host", {**QUESTION, "shape": [1, 28, 28]}).folder
        begun.rename(tmp_path / f"{stamp}-host")
    assert Run.open(tmp_path, "host", QUESTION).folder.name == "20260301T000000-host"
    (tmp_path / "20260301T000000-host" / "result.json").write_text("{}")
    assert Run.open(tmp_path, "host", QUESTION).folder.name == "20260201T000000-host"


def test_a_finished_run_is_not_resumed(tmp_path: Path) -> None:
    first = Run.open(tmp_path, "host", QUESTION)
    first.finish({"committed": True})
    second = Run.open(tmp_path, "host", QUESTION)
    assert not second.resumed
    assert second.folder != first.folder
    assert json.loads((first.folder / "result.json").read_text()) == {"committed": True}


def test_a_run_whose_question_is_damaged_is_left_alone(tmp_path: Path) -> None:
    first = Run.open(tmp_path, "host", QUESTION)
    (first.folder / "run.json").write_text('{"latency": "40')
    assert not Run.open(tmp_path, "host", QUESTION).resumed


def test_a_finished_stage_is_not_done_again(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "host", QUESTION)
    values = [{"rows": [1.5, None]}]
    assert run.stage("search-1", counted(values)) == {"rows": [1.5, None]}
    assert run.stage("search-1", counted(values)) == {"rows": [1.5, None]}
    later = Run.open(tmp_path, "host", QUESTION)
    assert later.stage("search-1", counted(values)) == {"rows": [1.5, None]}
    with pytest.raises(IndexError):
        later.stage("search-2", counted(values))


def test_a_resumed_stage_gives_what_the_first_sitting_saw(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "host", QUESTION)
    first = run.stage("aim", lambda: {"shape": (1, 8), 3: 0.1 + 0.2})
    assert first == run.stage("aim", counted([])) == {"shape": [1, 8], "3": 0.1 + 0.2}


def test_a_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "host", QUESTION)
    for error in (KeyboardInterrupt(), EdgenasError("no")):

        def fail(error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)):
            run.stage("train-1", fail)
    assert run.stage("train-1", counted(["done"])) == "done"


@pytest.mark.parametrize("text", ["", '{"seconds": 1.0, "val', "[1]", "3", '{"seconds": 1.0}', '{"value": 1}'])
def test_a_damaged_stage_is_named(tmp_path: Path, text: str) -> None:
    run = Run.open(tmp_path, "host", QUESTION)
    run.stage("search-1", lambda: 1)
    file = run.folder / "stages" / "search-1.json"
    file.write_text(text)
    reason = "is damaged, or not written by edgenas for you: delete it to do that stage again"
    with pytest.raises(EdgenasError, match=re.escape(f"{file} {reason}")):
        run.stage("search-1", counted([]))
    assert run.seconds("search") == 0
    file.unlink()
    assert run.stage("search-1", lambda: 2) == 2


def test_seconds_add_up_over_the_stages_of_a_kind(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "host", QUESTION)
    for name, seconds in (("search-1", 1.25), ("search-2", 2.5), ("train-1", 8.0)):
        entry = json.dumps({"seconds": seconds, "value": None})
        run.seals.write(run.folder / "stages" / f"{name}.json", entry.encode())
    (run.folder / "stages" / "search-3.json").write_text(entry)
    assert (run.seconds("search"), run.seconds("train"), run.seconds("convert")) == (3.75, 8.0, 0)


def test_a_run_that_somebody_else_began_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "stranger"))
    planted = Run.open(tmp_path, "host", QUESTION)
    planted.stage("search-1", lambda: {"finalists": ["the stranger's"]})
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "user"))
    mine = Run.open(tmp_path, "host", QUESTION)
    assert (mine.resumed, mine.passed_over) == (False, planted.folder)
    assert mine.stage("search-1", lambda: "mine") == "mine"
    (planted.folder / "run.json.seal").unlink()  # an edgenas of before wrote none
    assert Run.open(tmp_path, "host", QUESTION).folder == mine.folder
    assert (tmp_path / "user" / "run.key").stat().st_mode & 0o777 == 0o600


def test_what_somebody_put_into_my_run_is_not_believed(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "host", QUESTION)
    run.stage("search-1", lambda: 1)
    run.stage("search-2", lambda: 2)
    stages = run.folder / "stages"
    for suffix in (".json", ".json.seal"):  # a genuine stage in another's place
        (stages / f"search-1{suffix}").write_bytes((stages / f"search-2{suffix}").read_bytes())
    with pytest.raises(EdgenasError, match=r"search-1\.json is damaged, or not written by edgenas for you"):
        run.stage("search-1", counted([]))
    assert run.stage("search-2", counted([])) == 2
    other = Run.open(tmp_path, "host", {**QUESTION, "seed": 1})
    for name in ("search-2.json", "search-2.json.seal"):  # of another run of mine
        (other.folder / "stages").mkdir(exist_ok=True)
        (other.folder / "stages" / name).write_bytes((stages / name).read_bytes())
    with pytest.raises(EdgenasError, match="not written by edgenas for you"):
        other.stage("search-2", counted([]))
    (run.folder / "planted.json").write_text("{}")
    with pytest.raises(EdgenasError, match=re.escape(f"delete {run.folder} to begin anew")):
        run.check(run.folder / "planted.json")


def test_a_write_that_is_cut_short_leaves_the_old_file_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seals, path = Seals(tmp_path, "{}"), tmp_path / "a.pt"
    seals.write(path, b"old")
    monkeypatch.setattr(resources, "write_bytes", counted([]))
    with pytest.raises(TypeError):
        seals.write(path, b"new")
    assert seals.read(path) == b"old"
    path.write_bytes(b"new")
    assert seals.read(path) == b"new"
    path.write_bytes(b"other")
    assert seals.read(path) is None


@pytest.mark.parametrize("below", [".", "runs", "a/b"])
def test_a_root_that_cannot_be_written_is_a_usage_error(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    root = tmp_path / "file" / below
    with pytest.raises(UsageError, match=r"cannot write runs to .*: .+; name another folder with --runs"):
        Run.open(root, "host", QUESTION)


def test_the_log_has_every_line_with_its_time(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "host", QUESTION)
    reporter = Logged(Silent(), run)
    reporter.stage("search")
    reporter.progress(1, 2, "epochs")
    reporter.say("budget 84.3 µs")
    lines = (run.folder / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [re.sub(r"^\S+T\S+ ", "", line) for line in lines] == ["stage search", "budget 84.3 µs"]
