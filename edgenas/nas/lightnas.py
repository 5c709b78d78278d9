# SPDX-License-Identifier: Apache-2.0
"""Gradient search on a weight-shared supernet, after LightNAS (Luo et al., DAC 2022), with an exact repair at the end.

From the paper: one architecture parameter for each choice (alpha), single paths drawn by a hard Gumbel-softmax with a
straight-through gradient and a falling temperature, the objective CE + lambda (LAT / T - 1), and lambda by gradient
*ascent* from 0 on the argmax architecture's latency, so that no weight has to be tuned for each budget.

Ours:

* The supernet is trained once, and alpha afterwards, for each budget, on its frozen weights.
* Genes are stem stride and width and, per stage, a body (operator, blocks, kernel, expansion) and a width. What the
  space or the board's memory forbids has no probability: choices are drawn in order, each among those that lead on.
* LAT is the exact additive model, from a table over (stem stride, width before, body, width), instead of an MLP.
* CE is the additive surrogate of the supernet's validation loss, in standard deviations. A gate on a stage's output
  cannot carry the gradient: batch normalisation undoes it (measured: |dCE/dgate| about 1e-6 before the last stage).
  Normalised so, lambda needs no tuning either; with the paper's scale and step the search misses by up to 13 ms of 30.
* A quadratic penalty damps lambda, and the argmax is always projected: the best architecture by alpha's probabilities
  within [0.97 T, T], exactly. Without it the argmax missed by 11 to 59 % in a prototype: in a short network one changed
  block moves the latency by tens of percent.
* Runners-up are drawn in the same band with alpha's probabilities, flattened; the supernet's own validation loss ranks
  them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgenas.nas.admission import admit, nothing_fits
from edgenas.nas.lattice import GRID, Edge, Lattice
from edgenas.nas.problem import LAST_RUNG, Candidate, Evaluator, Problem, Projection, SearchResult, Strategy
from edgenas.nas.ranking import loss, train
from edgenas.spaces.architecture import Architecture, Stage
from edgenas.spaces.network import one_thread
from edgenas.supernet.additive import Surrogate, fit_surrogate
from edgenas.supernet.training import SupernetState, validation_loss
from edgenas.tasks.dataset import Dataset

BAND = 0.97  # proposals cost at least this part of the latency asked for
_LOWER_BANDS = (BAND, 0.9, 0.75, 0.5, 0.0)  # a sparse space may hold nothing in the first
_STEPS, _PATHS = 300, 16  # of alpha; paths drawn in each
_HOT, _COLD = 5.0, 0.3  # temperature of the first and of the last step
_ALPHA_RATE, _ALPHA_BETAS = 0.1, (0.5, 0.999)
_LAMBDA_RATE, _PENALTY = 0.1, 2.0
_FLAT, _DRAWN = (2.0, 4.0, 8.0), 8  # runners-up: divisors of alpha's log-probabilities, and how many each draws
_PROPOSED = 3
_FINALISTS = 2


def lightnas(state: SupernetState, data: Dataset) -> Strategy:
    """The strategy that searches with a trained supernet; `state` comes from `edgenas.supernet.cache.obtain`.

    Proposals are measured. Those over the budget are projected again on the refined latency model, at most twice; those
    within it are trained for half of the recipe, and the training loss ranks the finalists.
    """

    def search(problem: Problem, evaluator: Evaluator, say: Callable[[str], None] = lambda line: None) -> SearchResult:
        proposer = _Proposer(state, data, problem.seed)

        def family(lattice: Lattice, aim: float) -> list[Candidate]:
            return [Candidate(architecture, "supernet") for architecture in proposer(lattice, aim)]

        admitted = admit(problem, evaluator, [family], say)
        if not admitted:
            raise nothing_fits(problem, evaluator)
        if proposer.projection is not None:
            before, after = proposer.projection.before, proposer.projection.after
            say(f"alpha's argmax missed the latency asked for by {before:+.1%}, its projection by {after:+.1%}")
        trained = sorted(train(evaluator, admitted, LAST_RUNG), key=loss)
        return SearchResult(tuple(trained[:_FINALISTS]), tuple(trained), proposer.projection)

    return search


def propose(
    state: SupernetState, lattice: Lattice, data: Dataset, high_ms: float, seed: int, n: int = _PROPOSED
) -> list[Architecture]:
    """At most `n` architectures of at most `high_ms`, at least 0.97 of it where there are such; the likeliest first.

    Trains alpha for `high_ms` (seconds) on the supernet's losses. Empty if the fastest architecture is above `high_ms`.
    """
    return _Proposer(state, data, seed, n)(lattice, high_ms)


class _Proposer:
    """Proposals of one supernet: the first call trains alpha, later ones (on a refined model) only project it again."""

    def __init__(self, state: SupernetState, data: Dataset, seed: int, n: int = _PROPOSED) -> None:
        self._state, self._data, self._seed, self._n = state, data, seed, n
        self._alpha: Alpha | None = None
        self._calls = 0
        self.projection: Projection | None = None

    def __call__(self, lattice: Lattice, high_ms: float) -> list[Architecture]:
        if self._alpha is None:
            surrogate = fit_surrogate(lattice.space, self._state.losses)
            with one_thread():
                self._alpha = train_alpha(surrogate, lattice, high_ms, self._seed)
        self._calls += 1
        rng = np.random.default_rng((self._seed, self._calls))
        rounding = (1 + len(lattice.stages)) * high_ms / GRID  # what the lattice's grid may be short of
        for band in _LOWER_BANDS:
            low = band * high_ms + rounding
            best = lattice.best(self._alpha.score, low, high_ms)
            if best is not None:
                after = lattice.price(best) / high_ms - 1
                before = lattice.price(self._alpha.argmax) / high_ms - 1
                self.projection = Projection(before, after)
                return [best, *self._runners_up(lattice, rng, best, low, high_ms)]
        return []

    def _runners_up(
        self, lattice: Lattice, rng: np.random.Generator, best: Architecture, low: float, high: float
    ) -> list[Architecture]:
        assert self._alpha is not None
        if self._n < 2:
            return []
        score = self._alpha.score

        def draw(flat: float) -> Architecture | None:
            return lattice.sample(rng, low, high, lambda i, e: float(np.exp(score(i, e) / flat)))

        # Alpha ends so sharp that its own probabilities would draw one architecture again and again.
        drawn = [draw(flat) for flat in _FLAT for _ in range(_DRAWN)]
        others = [a for a in dict.fromkeys(drawn) if a is not None and a != best]
        others.sort(key=lambda a: validation_loss(self._state.net, a, self._data))
        return others[: self._n - 1]


@dataclass(frozen=True)
class Alpha:
    """Log-probabilities of all choices, and the architecture that takes the likeliest of each in order."""

    stem_stride: dict[int, float]
    stem_width: dict[int, float]
    body: tuple[dict[tuple[str, int, int, int], float], ...]
    width: tuple[dict[int, float], ...]
    argmax: Architecture

    def score(self, index: int, edge: Edge) -> float:
        """The edge's log-probability; over a path they add up to the architecture's."""
        if edge.stage is None:
            return self.stem_stride[edge.target[0]] + self.stem_width[edge.target[1]]
        return self.body[index][_body(edge.stage)] + self.width[index][edge.stage.width]


def train_alpha(surrogate: Surrogate, lattice: Lattice, target_ms: float, seed: int) -> Alpha:
    """Minimise CE + lambda (LAT / T - 1) + mu / 2 (LAT / T - 1)^2 over alpha, lambda by ascent (LightNAS, section 3).

    Raises InfeasibleError if the lattice's limits leave no architecture.
    """
    lattice.extremes()  # raises where there is nothing to choose from
    tables = _Tables(lattice, surrogate)
    alpha = [torch.zeros(len(costs), requires_grad=True) for costs in tables.losses]
    optimiser = torch.optim.Adam(alpha, lr=_ALPHA_RATE, betas=_ALPHA_BETAS)
    generator = torch.Generator().manual_seed(seed)
    multiplier = 0.0
    for step in range(_STEPS):
        temperature = _HOT * (_COLD / _HOT) ** (step / (_STEPS - 1))
        loss, latency = tables.costs(tables.draw(alpha, temperature, generator))
        off = latency / target_ms - 1
        # Row 0 is the argmax: it steers lambda, the drawn paths steer alpha.
        multiplier += _LAMBDA_RATE * min(off[0].item(), 1.0)
        objective = (loss + multiplier * off + _PENALTY / 2 * off**2)[1:].mean()
        optimiser.zero_grad()
        torch.autograd.backward(objective)
        optimiser.step()
    with torch.no_grad():
        argmax = tables.architecture([choice[0] for choice in tables.draw(alpha, _COLD, generator)])
    stride, stem_width, *stages = [log_probabilities.tolist() for log_probabilities in _log_softmax(alpha)]
    return Alpha(
        dict(zip(tables.space.stem_strides, stride, strict=True)),
        dict(zip(tables.space.stem_widths, stem_width, strict=True)),
        tuple(dict(zip(tables.space.stage_bodies(), body, strict=True)) for body in stages[0::2]),
        tuple(dict(zip(c.widths, w, strict=True)) for c, w in zip(tables.space.stages, stages[1::2], strict=True)),
        argmax,
    )


def _log_softmax(alpha: list[Tensor]) -> Iterator[Tensor]:
    return (functional.log_softmax(logits.detach(), dim=0) for logits in alpha)


class _Tables:
    """The lattice and the surrogate as dense tensors over genes: stem stride, stem width, then (body, width) a stage.

    `losses[g]` is the surrogate's term of each choice of gene g. `latency[i]` and `valid[i]` are the i-th stage's, of
    shape (stem strides, widths before, bodies, widths); `valid` leaves out dead ends.
    """

    def __init__(self, lattice: Lattice, surrogate: Surrogate) -> None:
        self.space = lattice.space
        terms: list[NDArray[np.float64]] = [surrogate.stem_stride, surrogate.stem_width]
        for body, width in zip(surrogate.body, surrogate.width, strict=True):
            terms += [body, width]
        self.losses = [torch.from_numpy(term).float() for term in terms]
        self.latency = [_dense(lattice, index) for index in range(-1, len(lattice.stages))]
        self.valid = [torch.isfinite(table) for table in self.latency]
        for before, after in zip(self.valid[-2::-1], self.valid[:0:-1], strict=True):
            before &= after.any(dim=3).any(dim=2)[:, None, None, :]
        # What a masked choice would cost matters only for its neighbours' gradients: as much as the dearest.
        self.latency = [table.where(ok, table[ok].max()) for table, ok in zip(self.latency, self.valid, strict=True)]

    def draw(self, alpha: list[Tensor], temperature: float, generator: torch.Generator) -> list[Tensor]:
        """Straight-through one-hots of each gene, shape (1 + paths, choices); row 0 is the argmax."""

        def choose(logits: Tensor, valid: Tensor) -> Tensor:
            noise = -torch.log(-torch.log(torch.rand(valid.shape, generator=generator).clamp(1e-9, 1 - 1e-7)))
            noise[0] = 0.0
            soft = ((logits + noise) / temperature).masked_fill(~valid, -torch.inf).softmax(dim=1)
            hard = functional.one_hot(soft.argmax(dim=1), len(logits)).to(soft.dtype)
            return hard + soft - soft.detach()

        rows = torch.arange(1 + _PATHS)
        stem = self.valid[0][:, 0, 0, :]  # (stem strides, stem widths)
        choices = [choose(alpha[0], stem.any(dim=1).expand(len(rows), -1))]
        stride = choices[0].argmax(dim=1)
        choices.append(choose(alpha[1], stem[stride]))
        for index, valid in enumerate(self.valid[1:]):
            here = valid[stride, choices[-1].argmax(dim=1)]  # (paths, bodies, widths)
            choices.append(choose(alpha[2 + 2 * index], here.any(dim=2)))
            choices.append(choose(alpha[3 + 2 * index], here[rows, choices[-1].argmax(dim=1)]))
        return choices

    def costs(self, choices: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(surrogate loss, latency in ms) of each path, shape (paths,), differentiable in the one-hots."""
        loss = torch.stack([one @ terms for one, terms in zip(choices, self.losses, strict=True)]).sum(dim=0)
        latency = _looked_up(self.latency[0][:, 0, 0, :], choices[:2])
        for index, table in enumerate(self.latency[1:]):
            # Stem stride, then width before (the stem's or the stage's before it), body and width of the stage.
            latency = latency + _looked_up(table, [choices[0], *choices[1 + 2 * index : 4 + 2 * index]])
        return loss, latency

    def architecture(self, choices: list[Tensor]) -> Architecture:
        """What one path's one-hots (choices,) stand for."""
        stride, width, *stages = [int(choice.argmax()) for choice in choices]
        bodies = self.space.stage_bodies()
        picked = zip(self.space.stages, stages[0::2], stages[1::2], strict=True)
        return Architecture(
            self.space.stem_strides[stride],
            self.space.stem_widths[width],
            tuple(_stage(bodies[body], choice.widths[width]) for choice, body, width in picked),
        )


def _looked_up(table: Tensor, ones: list[Tensor]) -> Tensor:
    """Each path's entry of `table`, one axis for each of `ones` (paths, choices), with the gradient of their product.

    That is: in one gene's one-hot, the row of the table that the other genes have picked.
    """
    at = [one.argmax(dim=1) for one in ones]
    total = table[tuple(at)] * (1 - len(ones))
    for axis, one in enumerate(ones):
        row = table.movedim(axis, -1)[(*at[:axis], *at[axis + 1 :])]
        total = total + (one * row).sum(dim=1)
    return total


def _dense(lattice: Lattice, index: int) -> Tensor:
    """The latencies of stage `index` (-1 is the stem, with one body and one width before), infinite where none is."""
    space = lattice.space
    strides = {stride: at for at, stride in enumerate(space.stem_strides)}
    if index < 0:
        widths = {width: at for at, width in enumerate(space.stem_widths)}
        table = torch.full((len(strides), 1, 1, len(widths)), torch.inf)
        for edge in lattice.stem:
            table[strides[edge.target[0]], 0, 0, widths[edge.target[1]]] = edge.latency
        return table
    before = {w: at for at, w in enumerate(space.stages[index - 1].widths if index else space.stem_widths)}
    widths = {width: at for at, width in enumerate(space.stages[index].widths)}
    bodies = {body: at for at, body in enumerate(space.stage_bodies())}
    table = torch.full((len(strides), len(before), len(bodies), len(widths)), torch.inf)
    for edge in lattice.stages[index]:
        assert edge.stage is not None
        at = strides[edge.source[0]], before[edge.source[1]], bodies[_body(edge.stage)], widths[edge.stage.width]
        table[at] = edge.latency
    return table


def _body(stage: Stage) -> tuple[str, int, int, int]:
    return stage.operator, stage.blocks, stage.kernel, stage.expansion


def _stage(body: tuple[str, int, int, int], width: int) -> Stage:
    operator, blocks, kernel, expansion = body
    return Stage(operator, width, blocks, kernel, expansion)
