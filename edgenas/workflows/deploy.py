# SPDX-License-Identifier: Apache-2.0
"""`edgenas deploy`: from a data set and a budget to a model that measurably meets it, installed.

profile -> search -> bake-off -> convert -> install, measure -> refine, again if the measurement says so -> commit.
Every finished stage is in the run's folder: an interrupted command, given again, goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgenas.artifacts.artifact import MANIFEST, Artifact
from edgenas.errors import BudgetMissedError, ConversionError, EdgenasError, GuessingError
from edgenas.measuring.install import Installed, install
from edgenas.measuring.operator_profile import OF_ONE, Layers, time_layers
from edgenas.nas.problem import MIN_FILL, Projection
from edgenas.progress import Reporter, Silent
from edgenas.spaces.architecture import Architecture
from edgenas.training.pool import Pool
from edgenas.workflows import bakeoff
from edgenas.workflows.bakeoff import Row
from edgenas.workflows.convert import PASSED
from edgenas.workflows.pipeline import Aim, Options, Walk, opened
from edgenas.workflows.result import Result, Round
from firmware_tools.connect import Access
from firmware_tools.device import Timing

_FILLED = MIN_FILL - 0.02  # of the budget: a second measurement of one network differs by about 1 %


def deploy(
    board: str | None = None,
    *,
    data: str,
    latency: str,
    device: str | None = None,
    strategy: str = "halving",
    space: str = "tiny",
    precision: str | None = None,
    statistic: str | None = None,
    rounds: int = 3,
    seed: int = 0,
    epochs: int | None = None,
    size: int | None = None,
    task: str | None = None,
    group_by: str | None = None,
    set_governor: str | None = None,
    runtime: str | None = None,
    layers: bool = False,
    runs: str | Path = "runs",
    access: Access | None = None,
    reporter: Reporter | None = None,
) -> Result:
    """Search, train, convert and install a model for `data` that measures at most `latency` on `board`.

    board, device: as `boards.inventory.resolve` takes them. latency: "350us", "2.5ms" or "40%" of the way from the
    space's fastest to its slowest architecture on the board. statistic: what of the latency is held against the budget,
    else what the board's file says. rounds: how often at most a model is installed and measured. epochs: of the full
    recipe, else by the size of the data. set_governor: a frequency governor for the time of every measurement; what was
    set before is put back. runtime: what runs models on the device (litert, tflite, tensorflow, tensorrt), else the
    fastest that it has, by one network that is timed on each; the next one where no model passes the gate. layers: in
    the end also time what each operator of the installed model takes. access: how to get into a board that asks who
    comes. task, group_by: as `edgenas.tasks.load` takes them.

    Raises UsageError (and DataError, BudgetError, ProfileError) for input that cannot be used, InfeasibleError if
    nothing of the space can meet the budget, BudgetMissedError if the device measured more in every round,
    ConversionError if no model passes the gate (GuessingError if each is no better than guessing), DeviceError if the
    device fails. The device's active model changes only by a commit, after a measurement within the budget.
    """
    options = Options(
        board,
        data,
        latency,
        device,
        strategy,
        space,
        precision,
        statistic,
        rounds,
        seed,
        epochs,
        size,
        set_governor,
        runtime,
        task,
        group_by,
    )
    passed_over: list[str] = []
    while True:
        with opened(options, runs, reporter or Silent(), access, passed_over=passed_over) as walk:
            aim = walk.aim()
            try:
                with walk.pool() as pool:
                    return _Rounds(walk, pool, aim, layers).result()
            except GuessingError:
                raise  # on every runtime
            except ConversionError as error:
                if len(walk.runtimes) < 2:
                    raise
                walk.reporter.say(f"runtime {walk.session.key.runtime} is passed over: {error}")
                passed_over.append(walk.session.key.runtime)


class _Rounds:
    """Install the best row; search again where the device says that it is over, or far under, the budget."""

    def __init__(self, walk: Walk, pool: Pool, aim: Aim, layers: bool) -> None:
        self._layers = layers
        self._walk, self._session, self._pool, self._aim = walk, walk.session, pool, aim
        self._rows: list[Row] = []
        self._rounds: list[Round] = []
        self._refused: set[str] = set()
        self._projection: Projection | None = None

    def result(self) -> Result:
        """Go through the rounds. Raises BudgetMissedError or ConversionError if none ends in a commit."""
        shipped: tuple[Row, Timing] | None = None
        aim, budget_ms = self._aim, self._aim.budget_ms
        self._bake(1, aim)
        while len(self._rounds) < self._walk.options.rounds:
            best = _best(self._rows, budget_ms, self._refused)
            if best is None and shipped is None:
                best = _nearest(self._rows, self._refused)
            if best is None or (shipped is not None and best.architecture == shipped[0].architecture):
                break
            installed = self._install(best)
            measured = installed.timing.latency_ms
            if installed.committed:
                shipped = (best, installed.timing)
                if measured >= _FILLED * self._aim.target_ms:
                    break
            else:
                self._refused.add(best.architecture)
                aim = replace(aim, target_ms=aim.target_ms * budget_ms / measured, loose=False)
            again = shipped is not None or _best(self._rows, budget_ms, self._refused) is None
            if again and len(self._rounds) < self._walk.options.rounds:
                self._bake(len(self._rounds) + 1, aim)
        if shipped is None:
            raise self._missed()
        return self._result(*shipped)

    def _bake(self, number: int, aim: Aim) -> None:
        """One search and one bake-off, each stage memoised in the run's folder; adds to the rows."""
        walk, session, folder = self._walk, self._session, self._walk.checkpoints
        searched = walk.search(self._pool, number, aim)
        self._projection = searched.projection or self._projection
        contestants, recipe, seed = searched.finalists, walk.recipe, walk.options.seed
        walk.stage(
            f"train-{number}",
            "train",
            lambda: bakeoff.train_all(contestants, recipe, self._pool, folder, seed, walk.reporter),
        )
        paths = bakeoff.checkpoints(contestants, recipe, folder, seed)
        target = walk.run.folder / "candidates" / str(number)

        def convert() -> list[dict[str, Any]]:
            for path in paths:
                walk.run.check(path)
            rows = bakeoff.convert_all(contestants, paths, session, walk.space, walk.data, target, self._aim.budget_ms)
            for row in rows:  # the manifest has the other files' sha256
                walk.run.seals.add(Path(row.folder) / MANIFEST)
            return [asdict(row) for row in rows]

        converted = walk.stage(f"convert-{number}", "convert", convert)
        # In the run's folder, wherever that is now: what is checked there is what is read.
        rows = [replace(row, folder=str(target / Path(row.folder).name)) for row in map(Row.from_json, converted)]
        for row in rows:
            walk.run.check(Path(row.folder) / MANIFEST)
        measured = walk.stage(
            f"measure-{number}",
            "measure",
            lambda: [asdict(row) for row in bakeoff.measure_all(rows, session, walk.space)],
        )
        session.refined().save()
        found = [replace(row, folder=str(target / Path(row.folder).name)) for row in map(Row.from_json, measured)]
        self._rows = _merge(self._rows, found)

    def _install(self, row: Row) -> Installed:
        session, number = self._session, len(self._rounds) + 1
        self._walk.reporter.stage(f"install and measure, round {number}")
        built, unit = Artifact.load(Path(row.folder)), session.board.unit
        artifact = built.measured(row.measured_ms, session.statistic, unit.name)
        architecture = Architecture.parse(row.architecture)
        doubts: dict[int, float] = {}

        def doubted(timing: Timing) -> bool:
            doubts.update(session.doubts(self._walk.space, [architecture], [timing]))
            return bool(doubts)

        installed = install(
            session.device,
            artifact,
            session.plan(),
            self._aim.budget_ms,
            exact=session.simulated(artifact),
            float_tolerance=session.float_tolerance,
            doubted=doubted,
            retiming=session.retiming,
        )
        taken = installed.timings
        session.record(self._walk.space, [architecture] * len(taken), taken, trained=True, doubts=doubts)
        session.refined().save()
        self._rounds.append(Round(row.predicted_ms, installed.timing.latency_ms))
        shown = session.board.unit.format
        verdict = "committed" if installed.committed else f"over the budget of {shown(self._aim.budget_ms)}"
        self._walk.reporter.say(f"measured {shown(installed.timing.latency_ms)}: {verdict}")
        return installed

    def _missed(self) -> EdgenasError:
        if not any(row.gate == PASSED for row in self._rows):
            other = next((row for row in self._rows if not row.guesses), None)
            if other is not None:
                return ConversionError(other.gate)
            best = max(self._rows, key=lambda row: row.score)
            return GuessingError(f"{best.gate}; the active model stays")
        budget_ms = self._aim.budget_ms
        everything = [r.measured_ms for r in self._rounds] + [row.measured_ms for row in self._rows]
        # A row that measured within the budget in the bake-off and over it once installed has no say here.
        measured = min(ms for ms in everything if ms > budget_ms)
        shown = self._session.board.unit.format
        return BudgetMissedError(
            f"best measured latency {shown(measured)} is over the budget of {shown(budget_ms)}: ask for "
            f"at least {shown(measured * 1.03)}; the device's active model was left in place",
            measured_ms=measured,
            budget_ms=budget_ms,
        )

    def _result(self, row: Row, timing: Timing) -> Result:
        walk, session, run = self._walk, self._session, self._walk.run
        artifact = Artifact.load(Path(row.folder))
        artifact.save(run.folder)
        stages = ("profile", "supernet", "search", "train", "convert", "measure")
        result = Result(
            board=session.board.id,
            unit=session.board.unit,
            device=session.device.url,
            budget_ms=self._aim.budget_ms,
            note=self._aim.note,
            statistic=session.statistic,
            ram_bytes=session.board.ram_bytes,
            flash_bytes=session.board.flash_bytes,
            row=row,
            rows=tuple(self._rows),
            timing=timing,
            rounds=tuple(self._rounds),
            projection=self._projection,
            committed=True,
            strategy=walk.options.strategy,
            model_path=str(run.folder / "model.tflite"),
            model_sha256=artifact.sha256,
            folder=str(run.folder),
            seconds={name: run.seconds(name) for name in stages},
            seed=walk.options.seed,
            versions=session.versions(),
            runtimes=walk.runtimes,
            layers=self._timed_layers(artifact) if self._layers else None,
            labels=walk.data.labels,
            notes=walk.data.notes,
            timing_effort=session.retiming.effort,
        )
        if session.retiming.effort.disturbed:
            walk.reporter.say(str(session.retiming.effort))
        run.finish(result.to_json())
        return result

    def _timed_layers(self, artifact: Artifact) -> Layers:
        session, reporter = self._session, self._walk.reporter
        reporter.stage("layers")
        return time_layers(
            session.device,
            session.timed(artifact),
            replace(session.plan(), **OF_ONE),  # type: ignore[arg-type]
            lambda i, n: reporter.progress(i, n, "timings"),
        )[1]


def _best(rows: Sequence[Row], budget_ms: float, refused: set[str]) -> Row | None:
    """The best by validation (`Row.score`) of what may ship; of equals the faster.

    What does not beat the baseline by more than the standard error of their difference is no better for all that is
    known: then the baseline ships, so that a search on few images never makes things worse by chance. Rows that waste
    the budget ship only if no other may: a template that cannot be made large enough.
    """
    shipping = [row for row in rows if row.ships(budget_ms) and row.architecture not in refused]
    filled = [row for row in shipping if row.measured_ms >= _FILLED * budget_ms]
    shipping = filled or shipping
    proven = [row for row in shipping if row.baseline or row.beats_baseline]
    if any(row.baseline for row in proven):
        shipping = proven
    return max(shipping, key=lambda row: (row.score, -row.measured_ms), default=None)


def _nearest(rows: Sequence[Row], refused: set[str]) -> Row | None:
    """The fastest that passed the gate, where all measured over the budget: installed, it is measured once more."""
    passed = [row for row in rows if row.gate == PASSED and row.architecture not in refused]
    return min(passed, key=lambda row: row.measured_ms, default=None)


def _merge(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Both, without an architecture twice: the newer measurement counts."""
    fresh = {row.architecture for row in new}
    return [row for row in old if row.architecture not in fresh] + list(new)
