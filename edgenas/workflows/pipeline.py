# SPDX-License-Identifier: Apache-2.0
"""What `deploy` and `search` share: the options, the open session, the run's folder, profile, budget and search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgenas.boards import inventory
from edgenas.boards.board import Board
from edgenas.boards.prior import Prior
from edgenas.errors import UsageError
from edgenas.latency import AdditiveModel
from edgenas.measuring.instruction_time import ms_per_minsn
from edgenas.measuring.resolve import precision_of, statistic_of
from edgenas.measuring.session import Session
from edgenas.nas import STRATEGIES
from edgenas.nas.budget import LatencyBudget
from edgenas.nas.lattice import Lattice
from edgenas.nas.problem import Candidate, Problem, Projection, SearchResult
from edgenas.nas.ranking import with_references
from edgenas.profiles.profile import BoardProfile
from edgenas.progress import Reporter
from edgenas.resources import home, require_package
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.arrays import save_arrays
from edgenas.tasks.dataset import Dataset
from edgenas.training import Outcome, Recipe
from edgenas.training.pool import Pool
from edgenas.workflows import beyond
from edgenas.workflows.beyond import Priced
from edgenas.workflows.data import load_data
from edgenas.workflows.evaluator import DeviceEvaluator
from edgenas.workflows.profile import COUNTED, FIRST, profile_session
from edgenas.workflows.run_folder import Logged, Run
from edgenas.workflows.runtimes import Compared, fastest
from firmware_tools.connect import Access, parse
from firmware_tools.errors import DeviceLostError
from firmware_tools.mcu import EMULATORS

_EXAMPLES = 55_000  # that a full training run sees unless asked otherwise ...
_LEAST_EPOCHS, _MOST_EPOCHS = 16, 40  # ... within these limits
_STAGES = 2  # raise it when finished stages say something new: runs of before are not gone on with


@dataclass(frozen=True)
class Options:
    """What was asked for; the documentation is `edgenas.deploy`'s."""

    board: str | None
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
    set_governor: str | None = None
    runtime: str | None = None
    task: str | None = None
    group_by: str | None = None

    def check(self, board: Board) -> LatencyBudget:
        """The parsed budget. Raises UsageError or BudgetError for a value that cannot be used."""
        if self.strategy not in STRATEGIES:
            known = ", ".join(STRATEGIES)
            raise UsageError(f"unknown strategy {self.strategy!r}: choose one of {known}", value=self.strategy)
        for name, least in (("rounds", 1), ("epochs", 2), ("size", 8)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} is {value}, the least is {least}", value=value, limit=least)
        precision_of(self.precision or board.precision, board)
        if self.statistic is not None:
            statistic_of(self.statistic)
        SearchSpace.load(self.space, (1, 8, 8), 2)  # before the data, which may take minutes to load
        return LatencyBudget.parse(self.latency, board.unit, counted=board.prior is not None)

    def prior(self, board: Board) -> Prior | None:
        """What a search goes by that is not to touch the board: nothing was measured on it, or an emulator is named."""
        if self.device is not None:
            return board.prior if self.device.partition(":")[0] in EMULATORS else None
        return None if board.measured else board.prior


@dataclass(frozen=True)
class Aim:
    """The budget in ms, and what to fill: the budget, or the space's slowest architecture where that is less.

    loose: that it is less. note: of a budget far beyond the space, what would use it; None for any other.
    """

    budget_ms: float
    target_ms: float
    loose: bool = False
    note: str | None = None


class Walk:
    """One walk's rooms, open: a context manager from `opened`; every finished stage is in the run's folder.

    `runtimes` of the device were compared, fastest first, and the first is in use; none if there was no choice.
    """

    def __init__(
        self,
        options: Options,
        budget: LatencyBudget,
        session: Session,
        space: SearchSpace,
        data: Dataset,
        run: Run,
        runtimes: tuple[Compared, ...] = (),
    ) -> None:
        self.options, self.budget, self.session, self.runtimes = options, budget, session, runtimes
        self.space, self.data, self.run, self.reporter = space, data, run, session.reporter
        self.recipe = Recipe.of(data, options.epochs or default_epochs(data))
        self.checkpoints = run.folder / "checkpoints"

    def stage(self, name: str, kind: str, compute: Callable[[], Any]) -> Any:
        """Announce a stage, and do it unless the run's folder has it."""
        self.reporter.stage(kind)
        return self.run.stage(name, compute)

    def aim(self) -> Aim:
        """Profile the board if it has no profile yet, then resolve the budget on it. Raises InfeasibleError."""
        self.stage("profile", "profile", self._profile)
        aim = Aim(**self.stage("budget", "budget", lambda: asdict(self._resolve())))
        self.reporter.say(
            f"budget {self.budget.unit.format(aim.budget_ms)} ({self.budget.text}), {self.session.statistic}"
        )
        if aim.note is not None:
            self.reporter.say(aim.note)
        return aim

    def pool(self) -> Pool:
        """Training processes for this space and data."""
        arrays = home() / "cache" / "data" / f"{self.data.task}-{self.data.fingerprint}.npz"
        if not arrays.exists():
            save_arrays(self.data, arrays)
        return Pool(self.options.space, arrays, seals=self.run.seals)

    def search(self, pool: Pool, number: int, aim: Aim) -> SearchResult:
        """The finalists of search `number` for `aim`. Raises InfeasibleError if nothing measures within the budget."""
        if STRATEGIES[self.options.strategy].needs_supernet:
            self.stage("supernet", "supernet", self._train_supernet)
        return _found(self.stage(f"search-{number}", "search", lambda: _found_table(self._search(pool, aim))))

    def _train_supernet(self) -> None:
        from edgenas.supernet.cache import obtain

        say, progress = self.reporter.say, self.reporter.progress
        obtain(self.space, self.data, self.options.seed, progress=lambda i, n: progress(i, n, "steps"), say=say)

    def _profile(self) -> dict[str, float]:
        if BoardProfile.load(self.session.key) is not None:
            return {}
        self.reporter.say(f"no profile of {self.session.key} yet: profiling")
        until = COUNTED if self.session.counts else FIRST
        profiled = profile_session(self.session, self.space, until, seed=self.options.seed)
        return {"fastest_ms": profiled.fastest_ms, "slowest_ms": profiled.slowest_ms}

    def _resolve(self) -> Aim:
        self.session.begin(self.space)  # a percentage is of the board as it is now
        model = self.session.model()
        lattice = Lattice(self.space, model.block_ms, model.bias_ms, self.session.limits, self.session.precision)
        extremes = lattice.extremes()
        fastest, slowest = map(lattice.price, extremes)
        budget = self.budget
        if budget.minsn is not None:
            scale = ms_per_minsn(self.session, self.space, extremes)
            what = "measured" if self.session.prior is None else "prior"
            self.reporter.say(f"a million instructions are {budget.unit.format(scale)} ({what})")
            budget = budget.timed(scale)
        budget_ms = budget.resolve(fastest, slowest)
        return Aim(budget_ms, min(budget_ms, slowest), slowest < budget_ms, self._beyond(budget_ms, slowest, model))

    def _beyond(self, budget_ms: float, slowest_ms: float, model: AdditiveModel) -> str | None:
        if self.budget.percent is not None or budget_ms < beyond.FAR * slowest_ms:
            return None
        session = self.session
        priced = Priced(self.space, model, session.limits, session.precision, self.budget.unit)
        return beyond.note(self.budget.text, budget_ms, priced, self.data.spec)

    def _search(self, pool: Pool, aim: Aim) -> SearchResult:
        from edgenas.nas.lightnas import propose  # torch takes seconds: what is mistyped is told before
        from edgenas.supernet.cache import cached

        options, session = self.options, self.session
        evaluator = DeviceEvaluator(
            session, self.space, pool, self.recipe, self.checkpoints, aim.target_ms, options.seed
        )
        state = cached(self.space, self.data, options.seed, say=self.reporter.say)
        problem = Problem(
            self.space,
            aim.budget_ms,
            aim.target_ms,
            session.limits,
            session.precision,
            options.seed,
            lambda lattice, high: [] if state is None else propose(state, lattice, self.data, high, options.seed),
            session.board.unit,
            aim.loose,
        )
        strategy = STRATEGIES[options.strategy].make(state, self.data)
        found = strategy(problem, evaluator, self.reporter.say)
        return with_references(problem, evaluator, found, self.reporter.say)


def default_epochs(data: Dataset) -> int:
    """Of the full recipe: so many that training sees about 55,000 examples, within 16 and 40 epochs."""
    return max(_LEAST_EPOCHS, min(_MOST_EPOCHS, round(_EXAMPLES / len(data.train))))


@contextmanager
def opened(
    options: Options,
    runs: str | Path,
    reporter: Reporter,
    access: Access | None,
    purpose: str = "deploy",
    passed_over: Sequence[str] = (),
) -> Iterator[Walk]:
    """Check the options, load the data, open the device, find or make the run's folder.

    Where the device has several runtimes and none is named, the fastest that is not `passed_over` is taken.
    """
    board, url = inventory.resolve(options.board, options.device)
    # However the device was named, the run is the same.
    options = replace(options, board=board.id, device=None if options.device is None else url)
    budget = options.check(board)
    require_package("torch")  # before data are prepared for nothing
    data = load_data(
        options.data,
        task=options.task,
        seed=options.seed,
        size=options.size,
        group_by=options.group_by,
        reporter=reporter,
    )
    space = SearchSpace.load(options.space, data.input_shape, data.classes)
    reporter.stage("device")
    prior = options.prior(board) if purpose == "search" else None
    if prior is not None:
        reporter.say(
            f"{board.id} is left alone, instructions of {prior.counted_on} are counted: latencies are a {prior}"
        )
    with ExitStack() as stack:
        open_on = partial(_session, options, board, reporter, access, prior)
        named = options.runtime or parse(url)[1].get("runtime")
        try:
            session, runtimes = fastest(stack, open_on, named, space, passed_over)
        except DeviceLostError as error:
            raise DeviceLostError(f"{error.message}{_without(board)}", **error.fields) from error
        session.use(space)
        asked = {"purpose": purpose, **asdict(options)}
        for name in ("task", "group_by"):  # runs from before there were these go on
            if asked[name] is None:
                del asked[name]
        key, fingerprint = asdict(session.key), data.fingerprint
        question = {**asked, "key": key, "url": session.device.url, "data": fingerprint, "stages": _STAGES}
        run = Run.open(Path(runs), board.id, question)
        for note in data.notes:
            run.log(note)  # the user has read it; the folder did not exist yet
        session.reporter = Logged(reporter, run)
        session.reporter.say(f"{'going on in' if run.resumed else 'run folder'} {run.folder}")
        if run.passed_over is not None:
            session.reporter.say(f"not going on in {run.passed_over}: it carries no seal of yours ({home()})")
        if runtimes:
            shown = ", ".join(f"{one.name} {board.unit.format(one.latency_ms)} ({one.precision})" for one in runtimes)
            session.reporter.say(f"one network on each runtime: {shown}; going on with {runtimes[0].name}")
        try:
            yield Walk(options, budget, session, space, data, run, runtimes)
        except BaseException as error:
            run.log(f"stopped by {type(error).__name__}: {error}")
            raise


def _without(board: Board) -> str:
    """What can be done about a board that is not there."""
    if board.prior is None or board.measured:
        return ""
    return f"; without the board, edgenas search --board {board.id} goes by a prior, edgenas plan says what fits it"


def _session(
    options: Options, board: Board, reporter: Reporter, access: Access | None, prior: Prior | None, runtime: str | None
) -> Session:
    return Session(
        board,
        reporter,
        device=options.device,
        access=access,
        precision=options.precision,
        statistic=options.statistic,
        governor=options.set_governor,
        runtime=runtime,
        prior=prior,
    )


def _found_table(found: SearchResult) -> dict[str, Any]:
    return {
        "finalists": [_table(c) for c in found.finalists],
        "tried": [_table(c) for c in found.tried],
        "projection": asdict(found.projection) if found.projection else None,
    }


def _found(table: dict[str, Any]) -> SearchResult:
    projection = Projection(**table["projection"]) if table["projection"] else None
    return SearchResult(tuple(map(_candidate, table["finalists"])), tuple(map(_candidate, table["tried"])), projection)


def _table(candidate: Candidate) -> dict[str, Any]:
    outcome = candidate.outcome.to_json() if candidate.outcome else None
    return {**vars(candidate), "architecture": str(candidate.architecture), "outcome": outcome}


def _candidate(table: dict[str, Any]) -> Candidate:
    outcome = Outcome.from_json(table["outcome"]) if table["outcome"] else None
    return Candidate(**{**table, "architecture": Architecture.parse(table["architecture"]), "outcome": outcome})
