"""`edgenas deploy`: from a data set and a budget to a model that measurably meets it, installed.

profile -> search -> bake-off -> convert -> install, measure -> refine, again if the measurement says so -> commit.
Every finished stage is in the run's folder: an interrupted command, given again, goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgenas import tasks
from edgenas.artifact import Artifact
from edgenas.board import Board, BoardProfile
from edgenas.errors import BudgetMissedError, ConversionError, UsageError
from edgenas.install import Installed, install
from edgenas.progress import Reporter, Silent
from edgenas.resources import home
from edgenas.run import Run
from edgenas.search import STRATEGIES
from edgenas.search.budget import LatencyBudget, format_ms
from edgenas.search.candidate import SLACK, Candidate, Problem, Projection
from edgenas.search.exact import Lattice
from edgenas.session import Session
from edgenas.space import Architecture, SearchSpace
from edgenas.tasks.arrays import save_arrays
from edgenas.tasks.images import ImageData
from edgenas.train import Recipe
from edgenas.train.pool import Pool
from edgenas.workflows import bakeoff
from edgenas.workflows.bakeoff import Row
from edgenas.workflows.convert import PASSED
from edgenas.workflows.evaluator import DeviceEvaluator
from edgenas.workflows.profile import profile_session
from edgenas.workflows.result import Result, Round

_IMAGES = 60_000  # that a full training run sees unless --epochs says otherwise ...
_LEAST_EPOCHS, _MOST_EPOCHS = 16, 40  # ... within these limits
_FILLED = SLACK - 0.02  # of the budget: a second measurement of one network differs by about 1 %
_SEARCH_PART = 0.5  # of the full recipe's epochs, for the search's schedule


@dataclass(frozen=True)
class Options:
    """What `deploy` was asked for."""

    board: str
    data: str
    latency: str
    device: str | None
    strategy: str
    space: str
    precision: str | None
    statistic: str | None
    rounds: int
    seed: int
    epochs: int | None
    size: int | None


def deploy(
    board: str = "host",
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
    runs: str | Path = "runs",
    reporter: Reporter | None = None,
) -> Result:
    """Search, train, convert and install a model for `data` that measures at most `latency` on `board`.

    latency: "350us", "2.5ms" or "40%" of the way from the space's fastest to its slowest architecture on the board.
    statistic: what of the latency is held against the budget, else what the board's file says. rounds: how often at
    most a model is installed and measured. epochs: of the full recipe, else by the size of the data.

    Raises UsageError (and DataError, BudgetError, ProfileError) for input that cannot be used, InfeasibleError if
    nothing of the space can meet the budget, BudgetMissedError if the device measured more in every round,
    ConversionError if no model passes the gate, DeviceError if the device fails. The device's active model changes only
    by a commit, after a measurement within the budget.
    """
    reporter = reporter or Silent()
    options = Options(board, data, latency, device, strategy, space, precision, statistic, rounds, seed, epochs, size)
    budget = _check(options)
    described = Board.load(board)
    reporter.stage("data")
    images = tasks.load(data, seed=seed, size=size, progress=lambda i, n: reporter.progress(i, n, "images"))
    for note in images.notes:
        reporter.say(note)
    bound = SearchSpace.load(space, images.input_shape, images.classes)
    with Session(described, reporter, device=device, precision=precision, statistic=statistic) as session:
        session.use(bound)
        run = Run.open(Path(runs), described.id, _question(options, session, images))
        reporter.say(f"{'going on in' if run.resumed else 'run folder'} {run.folder}")
        return _Walk(options, budget, session, bound, images, run).walk()


def _check(options: Options) -> LatencyBudget:
    if options.strategy not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        raise UsageError(f"unknown strategy {options.strategy!r}: choose one of {known}", value=options.strategy)
    for name, least in (("rounds", 1), ("epochs", 2), ("size", 8)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UsageError(f"{name} is {value}, the least is {least}", value=value, limit=least)
    return LatencyBudget.parse(options.latency)


def _question(options: Options, session: Session, images: ImageData) -> dict[str, Any]:
    return {**asdict(options), "key": asdict(session.key), "device": session.device.url, "data": images.fingerprint}


class _Walk:
    """One deploy's state; `walk` goes through the stages."""

    def __init__(
        self, options: Options, budget: LatencyBudget, session: Session, space: SearchSpace, data: ImageData, run: Run
    ) -> None:
        self.options, self.budget, self.session = options, budget, session
        self.space, self.data, self.run = space, data, run
        self.reporter = session.reporter
        epochs = options.epochs or max(_LEAST_EPOCHS, min(_MOST_EPOCHS, round(_IMAGES / len(data.train))))
        self.recipe = Recipe.for_images(space.input_shape, epochs)
        self.checkpoints = run.folder / "checkpoints"
        self.projection: Projection | None = None

    def walk(self) -> Result:
        self._stage("profile", "profile", self._profile)
        limits = self._stage("budget", "budget", self._budget)
        self.budget_ms, target_ms = limits["budget_ms"], limits["target_ms"]
        self.reporter.say(f"budget {format_ms(self.budget_ms)} ({self.budget.text}), {self.session.statistic}")
        arrays = home() / "cache" / "data" / f"{self.data.fingerprint}.npz"
        if not arrays.exists():
            save_arrays(self.data, arrays)
        with Pool(self.options.space, arrays) as pool:
            return self._rounds(pool, target_ms)

    def _rounds(self, pool: Pool, target_ms: float) -> Result:
        """Install the best row; search again where the device says that it is over, or far under, the budget."""
        rows = self._bake(pool, 1, target_ms)
        refused: set[str] = set()
        rounds: list[Round] = []
        shipped: tuple[Row, Installed] | None = None
        last: tuple[Row, Installed] | None = None
        aim = target_ms
        while len(rounds) < self.options.rounds:
            best = _best(rows, self.budget_ms, refused)
            if best is None or (shipped is not None and best == shipped[0]):
                break
            installed = self._install(best, len(rounds) + 1)
            measured = installed.timing.latency_ms
            rounds.append(Round(best.predicted_ms, measured))
            last = (best, installed)
            if installed.committed:
                shipped = last
                if measured >= SLACK * target_ms:
                    break
            else:
                refused.add(best.architecture)
            aim *= min(1.0, self.budget_ms / measured) if not installed.committed else 1.0
            again = installed.committed or _best(rows, self.budget_ms, refused) is None
            if again and len(rounds) < self.options.rounds:
                rows = _merge(rows, self._bake(pool, len(rounds) + 1, aim))
        if shipped is None:
            raise self._missed(rows, last)
        return self._result(*shipped, rows, rounds)

    def _profile(self) -> dict[str, float]:
        if BoardProfile.load(self.session.key) is not None:
            return {}
        self.reporter.say(f"no profile of {self.session.key} yet: profiling")
        profiled = profile_session(self.session, self.space, seed=self.options.seed)
        return {"fastest_ms": profiled.fastest_ms, "slowest_ms": profiled.slowest_ms}

    def _budget(self) -> dict[str, float]:
        model = self.session.model()
        lattice = Lattice(self.space, model.block_ms, model.bias_ms, self.session.limits, self.session.precision)
        fastest, slowest = (lattice.price(a) for a in lattice.extremes())
        budget_ms = self.budget.resolve(fastest, slowest)
        return {"budget_ms": budget_ms, "target_ms": min(budget_ms, slowest), "fastest_ms": fastest}

    def _bake(self, pool: Pool, number: int, aim: float) -> list[Row]:
        """One search and one bake-off, each memoised in the run's folder."""
        search = self._stage(f"search-{number}", "search", lambda: self._search(pool, aim))
        contestants = [_candidate(table) for table in search["contestants"]]
        self.projection = Projection(**search["projection"]) if search["projection"] else self.projection
        self._stage(f"train-{number}", "train", lambda: self._train(contestants, pool))
        folder = self.run.folder / "candidates" / str(number)
        table = self._stage(f"convert-{number}", "convert", lambda: self._convert(contestants, folder))
        rows = [Row.from_json(row) for row in table]
        table = self._stage(f"measure-{number}", "measure", lambda: self._measure(rows))
        self.session.refined().save()
        return [Row.from_json(row) for row in table]

    def _search(self, pool: Pool, aim: float) -> dict[str, Any]:
        options, session = self.options, self.session
        recipe = replace(self.recipe, epochs=max(2, round(_SEARCH_PART * self.recipe.epochs)))
        evaluator = DeviceEvaluator(session, self.space, pool, recipe, self.checkpoints, aim, options.seed)
        problem = Problem(self.space, self.budget_ms, aim, session.limits, session.precision, options.seed)
        found = STRATEGIES[options.strategy](problem, evaluator, self.reporter.say)
        return {
            "contestants": [_table(c) for c in found.finalists],
            "tried": [_table(c) for c in found.tried],
            "projection": asdict(found.projection) if found.projection else None,
        }

    def _train(self, contestants: Sequence[Candidate], pool: Pool) -> list[str]:
        session, seed = self.session, self.options.seed
        return [str(p) for p in bakeoff.train_all(contestants, self.recipe, pool, self.checkpoints, seed, session)]

    def _convert(self, contestants: Sequence[Candidate], folder: Path) -> list[dict[str, Any]]:
        paths = bakeoff.checkpoints(contestants, self.recipe, self.checkpoints, self.options.seed)
        rows = bakeoff.convert_all(contestants, paths, self.session, self.space, self.data, folder, self.budget_ms)
        return [asdict(row) for row in rows]

    def _measure(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        return [asdict(row) for row in bakeoff.measure_all(rows, self.session, self.space)]

    def _install(self, row: Row, number: int) -> Installed:
        self.reporter.stage(f"install and measure, round {number}")
        artifact = Artifact.load(Path(row.folder))
        installed = install(self.session.device, artifact, self.session.plan(), self.budget_ms)
        self.session.record(self.space, [Architecture.parse(row.architecture)], [installed.timing], trained=True)
        self.session.refined().save()
        verdict = "committed" if installed.committed else f"over the budget of {format_ms(self.budget_ms)}"
        self.reporter.say(f"measured {format_ms(installed.timing.latency_ms)}: {verdict}")
        return installed

    def _stage(self, name: str, kind: str, compute: Callable[[], Any]) -> Any:
        self.reporter.stage(kind)
        return self.run.stage(name, compute)

    def _missed(self, rows: Sequence[Row], last: tuple[Row, Installed] | None) -> Exception:
        if not any(row.gate == PASSED for row in rows):
            return ConversionError(rows[0].gate)
        measured = last[1].timing.latency_ms if last else min(row.measured_ms for row in rows)
        return BudgetMissedError(
            f"best measured latency {format_ms(measured)} is over the budget of {format_ms(self.budget_ms)}: ask for "
            f"at least {format_ms(measured * 1.03)}; the device's active model was left in place",
            measured_ms=measured,
            budget_ms=self.budget_ms,
        )

    def _result(self, row: Row, installed: Installed, rows: Sequence[Row], rounds: Sequence[Round]) -> Result:
        artifact = Artifact.load(Path(row.folder))
        artifact.save(self.run.folder)
        session, seconds = self.session, self.run.seconds
        result = Result(
            board=session.board.id,
            device=session.device.url,
            budget_ms=self.budget_ms,
            statistic=session.statistic,
            ram_bytes=session.board.ram_bytes,
            flash_bytes=session.board.flash_bytes,
            row=row,
            rows=tuple(rows),
            timing=installed.timing,
            rounds=tuple(rounds),
            projection=self.projection,
            committed=installed.committed,
            strategy=self.options.strategy,
            model_path=str(self.run.folder / "model.tflite"),
            model_sha256=artifact.sha256,
            folder=str(self.run.folder),
            seconds={name: seconds(name) for name in ("profile", "supernet", "search", "train", "convert", "measure")},
            seed=self.options.seed,
            versions=session.versions(),
        )
        self.run.finish(result.to_json())
        return result


def _best(rows: Sequence[Row], budget_ms: float, refused: set[str]) -> Row | None:
    """The best by validation of what may ship; of equals the faster.

    Rows that waste the budget ship only if no other may: a template that cannot be made large enough.
    """
    shipping = [row for row in rows if row.ships(budget_ms) and row.architecture not in refused]
    filled = [row for row in shipping if row.measured_ms >= _FILLED * budget_ms]
    shipping = filled or shipping
    return max(shipping, key=lambda row: (row.validation, -row.measured_ms), default=None)


def _merge(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Both, without an architecture twice: the newer measurement counts."""
    fresh = {row.architecture for row in new}
    return [row for row in old if row.architecture not in fresh] + list(new)


def _table(candidate: Candidate) -> dict[str, Any]:
    outcome = candidate.outcome
    return {
        "architecture": str(candidate.architecture),
        "origin": candidate.origin,
        "baseline": candidate.baseline,
        "predicted_ms": candidate.predicted_ms,
        "measured_ms": candidate.measured_ms,
        "train_loss": outcome.train_loss if outcome else None,
        "epochs": outcome.epoch if outcome else 0,
    }


def _candidate(table: dict[str, Any]) -> Candidate:
    return Candidate(
        Architecture.parse(table["architecture"]),
        table["origin"],
        table["baseline"],
        table["predicted_ms"],
        table["measured_ms"],
    )
