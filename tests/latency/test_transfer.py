# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgenas import latency
from edgenas.errors import ProfileError
from edgenas.latency import Array, Part
from edgenas.latency.engine import EngineModel
from edgenas.latency.features import FeatureModel
from edgenas.latency.transfer import LEAST, MOST, Source, TransferModel
from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.space import SearchSpace

COUNTED = json.loads((Path(__file__).parent / "mps2_an386_counted.json").read_text())["networks"]
TRAIN, HELD = 12, 60


@dataclass(frozen=True)
class Priced:
    """A model of which a test says what a part costs."""

    price: Callable[[Part], float]
    bias_ms: float = 0.0

    def fit(
        self,
        architectures: Sequence[Sequence[Part]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> Priced:
        return self

    def predict(self, architectures: Sequence[Sequence[Part]]) -> tuple[Array, Array]:
        mean = np.array([self.bias_ms + sum(map(self.price, parts)) for parts in architectures])
        return mean, 0.1 * mean

    def block_ms(self, block: Part) -> float:
        return self.price(block)


@cache
def networks() -> tuple[tuple[Block, ...], ...]:
    space = SearchSpace.load("tiny", (1, 28, 28), 10)
    found = tuple(space.blocks(Architecture.parse(row["architecture"])) for row in COUNTED)
    return tuple(found[i] for i in np.random.default_rng(0).permutation(len(found)))


@cache
def emulated() -> EngineModel:
    """A board counted in instructions, by a model that knows its engine's loops."""
    space = SearchSpace.load("tiny", (1, 28, 28), 10)
    known = [space.blocks(Architecture.parse(row["architecture"])) for row in COUNTED]
    return EngineModel().fit(known, [row["instructions"] / 1e6 for row in COUNTED])


@cache
def relative() -> tuple[float, ...]:
    """Latencies of a board with the same engine at another clock, in noise of 1 %."""
    mean, _ = emulated().predict(networks())
    return tuple(1.56 * mean * np.random.default_rng(1).lognormal(0, 0.01, len(mean)) + 0.02)


def noise(part: Part) -> float:
    return float(10 ** np.random.default_rng(len(str(part)) ** 3).uniform(-2, 1))


def opposite(part: Part) -> float:
    return 1e5 / (1e3 + sum(layer.macs for layer in part.layers()))


def fitted(*known: Source, count: int = TRAIN) -> TransferModel:
    return TransferModel(known, FeatureModel()).fit(networks()[:count], relative()[:count])


def error(model: latency.LatencyModel) -> float:
    mean, _ = model.predict(networks()[-HELD:])
    return float(np.mean(np.abs(mean / relative()[-HELD:] - 1)))


def alone(count: int = TRAIN) -> FeatureModel:
    return FeatureModel().fit(networks()[:count], relative()[:count])


def test_a_board_that_agrees_helps_in_whatever_unit() -> None:
    model = fitted(Source("counted", emulated()))
    assert error(model) < 0.5 * error(alone())
    assert model.provenance()["boards"]["counted"] > 0.7
    other_unit = fitted(Source("counted", emulated().scaled(1e-6)))
    assert other_unit.predict(networks())[0] == pytest.approx(model.predict(networks())[0], rel=1e-6)


@pytest.mark.parametrize("price", [noise, opposite])
def test_a_board_that_disagrees_does_no_harm_and_is_refused_or_weighs_nothing(price: Callable[[Part], float]) -> None:
    model = fitted(Source("strange", Priced(price)))
    assert error(model) < 1.1 * error(alone())
    told = model.provenance()
    assert "left out" in told.get("refused", "") or told["boards"].get("strange", 0.0) < 0.1


def test_boards_weigh_by_their_agreement() -> None:
    model = fitted(Source("strange", Priced(noise)), Source("counted", emulated()), Source("against", Priced(opposite)))
    boards = model.provenance()["boards"]
    assert boards["counted"] > 0.7
    assert all(weight < 0.1 for name, weight in boards.items() if name != "counted")
    assert error(model) < 0.5 * error(alone())


def test_the_same_board_twice_counts_once() -> None:
    once, twice = (fitted(*[Source(str(i), emulated()) for i in range(n)]) for n in (1, 2))
    assert twice.predict(networks())[0] == pytest.approx(once.predict(networks())[0], rel=0.01)


@pytest.mark.parametrize("count", [1, LEAST - 1])
def test_few_measurements_cannot_tell_whether_a_board_helps(count: int) -> None:
    model = fitted(Source("counted", emulated()), count=count)
    assert f"{LEAST} are needed" in model.provenance()["refused"]
    assert model.predict(networks())[0] == pytest.approx(alone(count).predict(networks())[0])


def test_one_architecture_measured_often_is_one() -> None:
    model = TransferModel((Source("counted", emulated()),), FeatureModel()).fit(networks()[:1] * 20, [1.0, 1.1] * 10)
    assert "1 architectures are too few" in model.provenance()["refused"]


def test_equal_latencies_are_fitted_without_a_warning() -> None:
    model = TransferModel((Source("counted", emulated()),), FeatureModel()).fit(networks()[:TRAIN], [2.0] * TRAIN)
    mean, std = model.predict(networks()[:TRAIN])
    assert np.all(np.isfinite(mean) & (mean > 0) & np.isfinite(std) & (std >= 0))


def test_many_measurements_need_no_other_board() -> None:
    count = MOST + 10
    model = fitted(Source("counted", emulated()), count=count)
    assert model.known == ()
    assert model.predict(networks())[0] == pytest.approx(alone(count).predict(networks())[0])


def test_the_mean_is_the_bias_and_the_sum_of_the_parts() -> None:
    model = fitted(Source("counted", emulated()))
    assert model.share > 0
    mean, std = model.predict(networks())
    assert mean == pytest.approx([model.bias_ms + sum(map(model.block_ms, parts)) for parts in networks()])
    assert np.all(std > 0)


def test_saved_and_loaded_it_is_the_same() -> None:
    model = fitted(Source("counted", emulated()))
    text = json.dumps(model.to_json())
    read = latency.load_additive(json.loads(text))
    assert read == model
    assert read.predict(networks())[0] == pytest.approx(model.predict(networks())[0])
    for key in ("known", "alone", "rest", "share", "refused", "measurements"):
        with pytest.raises(ProfileError, match=key):
            latency.load({k: v for k, v in json.loads(text).items() if k != key}, "x.json")
    nameless = {**json.loads(text), "known": [{}]}
    with pytest.raises(ProfileError, match="known"):
        latency.load(nameless, "x.json")
