# SPDX-License-Identifier: Apache-2.0
"""How well a board's profile knows the board: predicted against measured, the error by operator, drift by session."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgenas import latency
from edgenas.latency import Array
from edgenas.profiles.evidence import Evidence, by_session, evidence
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import ProfileKey
from edgenas.spaces.architecture import Block
from edgenas.spaces.network_id import NetworkId

_FOLDS = 5
_STDS_90 = 1.645  # half of an interval that holds 90 of 100 normal values, in standard deviations


@dataclass(frozen=True)
class Network:
    """A network of one session, its latency brought to the latest session's scale, and what the others predict of it.

    predicted_ms, std_ms: of a model that was fitted without any measurement of this network.
    """

    architecture: str
    input_shape: tuple[int, int, int]
    classes: int
    space: str
    measured_ms: float
    predicted_ms: float
    std_ms: float

    @property
    def error(self) -> float:
        """Of the prediction, relative."""
        return self.predicted_ms / self.measured_ms - 1


@dataclass(frozen=True)
class OperatorError:
    """The mean of the absolute and of the signed relative error, networks weighing by the operator's share of them."""

    operator: str
    networks: int
    mape: float
    bias: float


@dataclass(frozen=True)
class SessionDrift:
    """One session. drift: how much slower the latest one was on what both measured, 1 where they share too little.

    contradicted: measurements that were outside the profile's 99 % interval when they were taken. file: that it was
    imported with, None for one's own.
    """

    session: str
    started_utc: str
    host: str | None
    imported: bool
    measurements: int
    contradicted: int
    drift: float
    file: str | None


@dataclass(frozen=True)
class Review:
    """What `review` finds of one key. mape: mean absolute relative error; within90: share inside the 90 % interval.
    layers: what each imported file brought, and its scale, as in a profile's provenance.

    Both are None, and `networks` and `operators` empty, with fewer than two networks.
    """

    key: ProfileKey
    measurements: int
    mape: float | None
    within90: float | None
    networks: tuple[Network, ...]
    operators: tuple[OperatorError, ...]
    sessions: tuple[SessionDrift, ...]
    layers: tuple[Mapping[str, Any], ...] = ()


def review(
    key: ProfileKey, measurements: Sequence[Measurement], blocks: Mapping[NetworkId, tuple[Block, ...]], model: str
) -> Review:
    """Review the measurements of a key by 5-fold cross-validation of the latency model named `model`.

    blocks: of every network. Networks are left out as a whole, with all their measurements.
    """
    data = evidence(measurements, lambda m: blocks[m.network])
    sessions = tuple(_drifts(measurements, data))
    layers = tuple(layer.to_json() for layer in data.layers)
    if len(set(data.networks)) < 2:
        return Review(key, len(measurements), None, None, (), (), sessions, layers)
    predicted, std = left_out(data, model)
    measured = np.asarray(data.latency_ms)
    rows = zip(data.networks, measured, predicted, std, strict=True)
    networks = tuple(_network(network, float(ms), float(mean), float(spread)) for network, ms, mean, spread in rows)
    return Review(
        key=key,
        measurements=len(measurements),
        mape=float(np.mean(np.abs(predicted / measured - 1))),
        within90=float(np.mean(np.abs(measured - predicted) <= _STDS_90 * std)),
        networks=networks,
        operators=tuple(_by_operator(data, model, predicted / measured - 1)),
        sessions=sessions,
        layers=layers,
    )


def _network(of: NetworkId, measured_ms: float, predicted_ms: float, std_ms: float) -> Network:
    return Network(of.architecture, of.input_shape, of.classes, of.space, measured_ms, predicted_ms, std_ms)


def left_out(data: Evidence, model: str) -> tuple[Array, Array]:
    """(mean_ms, std_ms) of every row by a model fitted without the rows of its fold."""
    networks = sorted(set(data.networks))
    order = np.random.default_rng(0).permutation(len(networks))
    fold_of = {networks[i]: place % _FOLDS for place, i in enumerate(order)}
    folds = np.array([fold_of[network] for network in data.networks])
    mean, std = np.empty(len(folds)), np.empty(len(folds))
    for fold in np.unique(folds):
        rest = np.flatnonzero(folds != fold)
        fitted = latency.create(model).fit(
            [data.architectures[i] for i in rest], [data.latency_ms[i] for i in rest], [data.weights[i] for i in rest]
        )
        out = np.flatnonzero(folds == fold)
        mean[out], std[out] = fitted.predict([data.architectures[i] for i in out])
    return mean, std


def _by_operator(data: Evidence, model: str, errors: Array) -> list[OperatorError]:
    """The operators' errors, the one that takes most of the time first."""
    fitted = latency.create(model).fit(data.architectures, data.latency_ms, data.weights)
    prices = latency.load_additive(fitted.to_json())
    shares: dict[str, Array] = defaultdict(lambda: np.zeros(len(errors)))
    for row, (blocks, measured) in enumerate(zip(data.architectures, data.latency_ms, strict=True)):
        for block in blocks:
            shares[block.operator][row] += prices.block_ms(block) / measured
    return [
        OperatorError(
            operator,
            int((share > 0).sum()),
            float(np.average(np.abs(errors), weights=share)),
            float(np.average(errors, weights=share)),
        )
        for operator, share in sorted(shares.items(), key=lambda item: -item[1].sum())
        if share.any()
    ]


def _drifts(measurements: Sequence[Measurement], data: Evidence) -> list[SessionDrift]:
    found = []
    for ((_, session), networks), drift in zip(by_session(measurements).items(), data.drift, strict=True):
        taken = [m for each in networks.values() for m in each]
        first = min(taken, key=lambda m: m.taken_utc)
        found.append(
            SessionDrift(
                session=session,
                started_utc=first.taken_utc,
                host=first.conditions.get("hostname"),
                imported=first.origin is not None,
                measurements=len(taken),
                contradicted=sum(bool(m.conditions.get("contradicted")) for m in taken),
                drift=drift,
                file=None if first.origin is None else first.origin.file,
            )
        )
    return found
