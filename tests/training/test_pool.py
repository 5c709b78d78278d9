# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgenas.errors import EdgenasError
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.dataset import Dataset
from edgenas.training import Job, Outcome
from edgenas.training.fit import fit
from edgenas.training.pool import Pool, cores

Jobs = Callable[..., Job]


def children() -> set[int]:
    """This process's training processes that still run."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            training = b"edgenas.training.worker" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and training:
            found.add(int(folder.name))
    return found


@contextmanager
def nothing_left() -> Iterator[None]:
    """What the block starts has ended when it ends."""
    before = children()
    yield
    end = time.monotonic() + 60
    while children() - before and time.monotonic() < end:
        time.sleep(0.02)
    assert children() <= before


def without_seconds(outcomes: list[Outcome]) -> list[tuple[object, ...]]:
    return [(o.name, o.epoch, o.train_loss, o.validation_loss, o.validation_accuracy) for o in outcomes]


def test_a_pool_gives_what_one_process_gives_in_the_jobs_order(
    job: Jobs, arrays: Path, space: SearchSpace, few: Dataset, tmp_path: Path
) -> None:
    jobs = [job(until=until, name=f"{until}") for until in (1, 3, 2)]
    ticks: list[tuple[int, int]] = []
    with nothing_left(), Pool("tiny", arrays, workers=2) as pool:
        outcomes = pool.run(jobs, lambda done, total: ticks.append((done, total)))
        assert pool.run(jobs) == outcomes  # known: nothing is trained again
    assert ticks[-1] == (6, 6)
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)
    alone = [fit(job(until=j.until, name=f"alone-{j.name}"), space, few) for j in jobs]
    assert [o[1:] for o in without_seconds(outcomes)] == [o[1:] for o in without_seconds(alone)]
    assert [o.name for o in outcomes] == ["1", "3", "2"]


def test_no_jobs_need_no_processes(arrays: Path) -> None:
    with Pool("tiny", arrays) as pool:
        before = children()
        assert pool.run([]) == []
        assert children() == before


@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_dies_is_one_line_and_ends_the_others(job: Jobs, arrays: Path, workers: int) -> None:
    jobs = [job(until=1, epochs=200, name="short"), *(job(until=200, epochs=200, name=f"{i}") for i in range(3))]
    before = children()

    def kill(done: int, total: int) -> None:
        for pid in children() - before:
            os.kill(pid, signal.SIGKILL)

    with nothing_left(), Pool("tiny", arrays, workers=workers) as pool:
        with pytest.raises(EdgenasError, match=r"a training process ended early: .*; run the same command") as caught:
            pool.run(jobs, kill)
        assert children() == before  # at once, not only when the pool is closed
    assert "\n" not in caught.value.message


def test_a_process_that_cannot_train_says_why(job: Jobs, arrays: Path, tmp_path: Path) -> None:
    with (
        nothing_left(),
        Pool("tiny", tmp_path / "absent.npz", workers=1) as pool,
        pytest.raises(EdgenasError, match=re.escape("absent.npz")),
    ):
        pool.run([job()])


def test_a_pool_goes_on_after_a_failure(job: Jobs, arrays: Path) -> None:
    before = children()

    def kill(done: int, total: int) -> None:
        for pid in children() - before:
            os.kill(pid, signal.SIGKILL)

    with nothing_left(), Pool("tiny", arrays, workers=2) as pool:
        with pytest.raises(EdgenasError):
            pool.run([job(until=50, epochs=50, name=f"{i}") for i in range(2)], kill)
        assert [o.epoch for o in pool.run([job(until=1, name="c"), job(until=1, name="d")])] == [1, 1]


def test_an_interrupt_in_the_callback_ends_all_processes(job: Jobs, arrays: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = children()
    with nothing_left(), Pool("tiny", arrays, workers=2) as pool:
        with pytest.raises(KeyboardInterrupt):
            pool.run([job(until=200, epochs=200, name=f"{i}") for i in range(3)], interrupt)
        assert children() == before
    assert not Path(job(name="0").checkpoint).exists()


SCRIPT = """
import sys
from pathlib import Path
from edgenas.training import Job, Recipe
from edgenas.training.pool import Pool
text, recipe = "stem-8s2/plain-8x1/plain-16x1/plain-32x1", Recipe(500, {'flip': False, 'crop': 4})
jobs = [Job(name, text, recipe, 500, 0, f"{sys.argv[2]}/{name}.pt") for name in "ab"]
with Pool("tiny", Path(sys.argv[1]), workers=2) as pool:
    pool.run(jobs, lambda done, total: print(done, flush=True))
"""


def test_ctrl_c_in_a_script_without_a_main_guard_ends_everything_at_once(arrays: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(arrays), str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    mine = _all_children(process.pid)
    assert len(mine) == 2
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode in (-signal.SIGINT, 130)
    assert stderr.decode().rstrip().endswith("KeyboardInterrupt")
    assert not any(Path(f"/proc/{pid}").exists() for pid in mine)


def _all_children(pid: int) -> set[int]:
    return {
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    }


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
