# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest
from helpers.workflows.sittings import Copy, Place, Recorder

import edgenas
from edgenas.errors import UsageError
from edgenas.profiles.profile import BoardProfile
from edgenas.profiles.store import Store
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.workflows.profile import Profiled

pytestmark = pytest.mark.xdist_group("deployed by workflows")
TINY = SearchSpace.load("tiny", (1, 8, 8), 10)


def test_a_profile_is_saved_with_its_measurements(profiled: tuple[Place, Profiled], copy: Copy) -> None:
    copy(profiled[0])
    result = profiled[1]
    key = result.profile.key
    assert (key.board, key.precision, key.threads, key.statistic) == ("host", "int8", 1, "p10")
    assert BoardProfile.load(key) == result.profile
    with Store() as store:
        taken = store.read(key, space="tiny")
    assert len(taken) == result.profile.measurements >= 10
    assert len({m.architecture for m in taken}) == len(taken)
    assert all(TINY.contains(Architecture.parse(m.architecture)) for m in taken)
    assert not any(m.trained for m in taken)
    assert all(0 < m.p10_ms <= m.p50_ms <= m.p95_ms for m in taken)
    assert len({m.session for m in taken}) == 1
    assert taken[0].conditions["processes"] == 3


def test_the_range_of_a_profile_holds_what_was_measured(profiled: tuple[Place, Profiled], copy: Copy) -> None:
    copy(profiled[0])
    result = profiled[1]
    with Store() as store:
        latencies = [m.latency_ms for m in store.read(result.profile.key)]
    assert 0 < result.fastest_ms < result.slowest_ms
    assert result.fastest_ms < 2 * min(latencies)
    assert result.slowest_ms > 0.5 * max(latencies)
    assert max(latencies) > 3 * min(latencies)  # a profile of networks that are all alike would teach nothing
    assert json.loads(json.dumps(result.to_json()))["fastest_ms"] == result.fastest_ms


def test_a_space_with_few_architectures_is_profiled_to_its_end(profiled: tuple[Place, Profiled], copy: Copy) -> None:
    place = copy(profiled[0])
    file = place.home / "few.toml"
    file.write_text(FEW)
    recorder = Recorder()
    result = edgenas.profile("host", space=str(file), input_shape=(1, 8, 8), minutes=10, reporter=recorder)
    assert result.stopped_by == "space"
    assert 0 < result.fastest_ms < result.slowest_ms


FEW = """
name = "few"
[stem]
strides = [2]
widths = [8, 16]
[body]
operators = ["plain"]
blocks = [1]
kernels = [3]
expansions = [3]
stage_macs_per_pixel = 5000
depthwise_weight = 8
[[stages]]
stride = 1
widths = [8, 16]
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"board": "hots"}, "hots"),
        ({"space": "tinny"}, "no search space 'tinny'"),
        ({"statistic": "mean"}, "unknown statistic 'mean': choose one of min, p10, p50, p95, max"),
        ({"precision": "int4"}, "unknown precision 'int4': choose one of int8, float32"),
    ],
)
def test_an_unknown_name_is_a_usage_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        edgenas.profile(**options)
