# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest
from helpers.short_deploys import SMALL
from helpers.workflows.sittings import OPTIONS, SLOWED, Copy, Place, Recorder, Slow

import edgenas
from edgenas.artifacts.artifact import Artifact
from edgenas.conversion.gate import GUESSING, OPERATORS
from edgenas.errors import BudgetMissedError, GuessingError, InfeasibleError
from edgenas.measuring import connection
from edgenas.seals import Seals
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.units import MS
from edgenas.workflows.result import Result

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployed by workflows")]
DOCUMENTED = {
    "": {"board", "device", "budget", "predicted_ms", "measured", "rounds", "projection", "accuracy", "model"}
    | {"balanced_accuracy", "recall", "committed", "seconds", "seed", "versions", "runtimes", "layers"}
    | {"timing_effort"},
    "budget": {"latency_ms", "statistic", "ram_bytes", "flash_bytes", "note"},
    "measured": {"latency_ms", "p10_ms", "p50_ms", "p95_ms", "n", "ci95_ms"},
    "accuracy": {"validation", "float", "int8", "baseline"},
    "balanced_accuracy": {"validation", "float", "int8", "baseline"},
    "recall": {"labels", "validation", "float", "int8", "baseline"},
    "model": {"path", "sha256", "bytes", "peak_ram_bytes", "macs"},
    "seconds": {"profile", "supernet", "search", "train", "convert", "measure"},
}


def no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


def test_the_result_is_the_documented_object(deployed: Any) -> None:
    written = (deployed.place.run() / "result.json").read_text()
    table = json.loads(written, parse_constant=no_constant)
    assert table == json.loads(json.dumps(deployed.result.to_json()))
    for key, names in DOCUMENTED.items():
        assert names <= (table[key] if key else table).keys(), key
    for one in table["rounds"]:
        assert one.keys() == {"predicted_ms", "measured_ms"}
    recall = table["recall"]["int8"]
    assert table["balanced_accuracy"]["int8"] == pytest.approx(sum(recall["recall"]) / 10)
    assert table["recall"]["labels"] == [str(digit) for digit in range(10)]
    assert {"balanced_accuracy", "recall", "uneven", "balanced_lead"} <= table["rows"][0].keys()
    assert (table["board"], table["seed"], table["committed"], table["projection"]) == ("host", 0, True, None)
    assert {"edgenas", "torch", "numpy", "agent"} <= table["versions"].keys()
    assert all(table["seconds"][name] > 0 for name in ("search", "train", "convert", "measure"))


def test_a_budget_far_beyond_the_space_is_told_before_anything_is_trained(interrupted: Any, deployed: Any) -> None:
    note = json.loads(interrupted.stages["stages/budget.json"][1])["value"]["note"]
    log = (deployed.place.run() / "log.txt").read_text()
    assert 0 < log.index(note) < log.index("stage search")
    assert note == deployed.result.to_json()["budget"]["note"]
    assert note.startswith("budget 1ms is ")
    assert "images of 8 pixels" in note


def test_what_was_measured_meets_the_budget(deployed: Any) -> None:
    result: Result = deployed.result
    assert result.committed
    assert result.timing.latency_ms <= result.budget_ms
    assert result.timing.ci95_ms[0] <= result.timing.latency_ms <= result.timing.ci95_ms[1]
    assert 1 <= len(result.rounds) <= OPTIONS["rounds"]
    shipped = [r for r in result.rounds if r.measured_ms == result.timing.latency_ms]
    assert [r.predicted_ms for r in shipped] == [result.row.predicted_ms]
    assert result.row.gate == "passed"
    assert any(row.baseline for row in result.rows)
    assert len({row.architecture for row in result.rows}) == len(result.rows)


def test_the_device_runs_the_model_of_the_result(deployed: Any) -> None:
    status, result = deployed.place.status(), deployed.result
    assert status.active is not None
    assert status.active.valid
    assert status.active.sha256 == result.model_sha256 == result.timing.sha256
    assert status.staged is None
    noted = status.active.manifest["measured"]  # in the bake-off, on this device
    assert (noted["statistic"], noted["unit"]) == ("p10", "ms")
    assert 0 < noted["latency_ms"] <= result.budget_ms
    artifact = Artifact.load(deployed.place.run())
    assert artifact.sha256 == result.model_sha256
    assert (artifact.manifest["board"], artifact.manifest["budget_ms"]) == ("host", result.budget_ms)
    assert set(artifact.manifest["operators"]) <= OPERATORS


def test_every_measurement_is_remembered_and_refines_the_profile(deployed: Any) -> None:
    before, after = deployed.profiles
    assert after.measurements > before.measurements
    assert after.measurements == len(deployed.measurements)
    assert after.created_utc == before.created_utc
    assert after.refined_utc > before.refined_utc
    trained = [m for m in deployed.measurements if m.trained]
    names = {row.architecture for row in deployed.result.rows}
    assert {m.architecture for m in trained} == names
    bakes = [json.loads(data)["value"] for name, (_, data) in deployed.stages.items() if "/measure-" in name]
    timed = sum(map(len, bakes)) + len(deployed.result.rounds)  # what bakes off twice is timed twice
    rounds = len(deployed.result.rounds)  # each may be just over the budget
    doubted = rounds + sum("contradicted" in m.conditions for m in trained)
    # Twice more at most, but for a miss on a busy computer.
    assert timed <= len(trained) <= timed + 2 * doubted + deployed.result.timing_effort.repeated
    mine = [m for m in trained if m.architecture == deployed.result.row.architecture]
    assert min(m.ci95_ms[0] for m in mine) <= deployed.result.timing.latency_ms <= max(m.latency_ms for m in mine)


def test_every_row_is_of_the_space_and_was_within_the_budget_when_it_was_searched(deployed: Any) -> None:
    found = json.loads(deployed.stages["stages/search-1.json"][1])["value"]
    budget_ms = deployed.result.budget_ms
    space = SearchSpace.load(SMALL, (1, 8, 8), 10)
    for candidate in found["finalists"]:
        assert space.contains(Architecture.parse(candidate["architecture"]))
        assert candidate["measured_ms"] <= budget_ms
    assert {c["architecture"] for c in found["finalists"]} <= {row.architecture for row in deployed.result.rows}
    assert {c["architecture"] for c in found["finalists"]} <= {c["architecture"] for c in found["tried"]}


def test_an_interrupted_deploy_goes_on_after_its_last_finished_stage(interrupted: Any, deployed: Any) -> None:
    assert {"stages/budget.json", "stages/profile.json", "stages/search-1.json"} <= interrupted.stages.keys()
    assert "stages/train-1.json" not in interrupted.stages
    for name, state in interrupted.stages.items():
        assert deployed.stages[name] == state, name
    assert any(line.startswith("going on in ") for line in deployed.recorder.lines)
    assert not any(line.startswith("wave ") for line in deployed.recorder.lines[:2])
    log = (deployed.place.run() / "log.txt").read_text()
    assert "stopped by StoppedError: train" in log


def test_what_was_decided_about_the_data_is_said_again_and_in_the_json(deployed: Any) -> None:
    notes = deployed.result.to_json()["notes"]
    assert notes[0].startswith("10 classes of ")
    assert deployed.recorder.lines[: len(notes)] == notes
    log = (deployed.place.run() / "log.txt").read_text()
    assert log.count(notes[0]) == 2  # of the sitting that was interrupted, and of the one that went on


def test_a_profile_that_exists_is_used(interrupted: Any) -> None:
    assert json.loads(interrupted.stages["stages/profile.json"][1])["value"] == {}


@pytest.fixture
def again(deployed: Any, copy: Copy) -> Place:
    """The finished deploy as if its last step had not been: everything is there but the installation."""
    place = copy(deployed.place)
    (place.run() / "result.json").unlink()
    return place


def slow_down(monkeypatch: pytest.MonkeyPatch, factor: float) -> list[Slow]:
    devices: list[Slow] = []
    connect = connection.connect

    def connect_slow(url: str, **options: Any) -> Slow:
        devices.append(Slow(connect(url, **options), factor))
        return devices[-1]

    monkeypatch.setattr("edgenas.measuring.connection.connect", connect_slow)
    return devices


def test_a_budget_that_the_device_misses_leaves_the_old_model(again: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before, stages = again.status(), again.files()
    devices = slow_down(monkeypatch, SLOWED)
    recorder = Recorder()
    with pytest.raises(BudgetMissedError) as caught:
        edgenas.deploy("host", **OPTIONS, runs=again.runs, reporter=recorder)
    (device,) = devices
    assert len(device.staged) == OPTIONS["rounds"]
    assert caught.value.exit_code == 3
    budget_ms, best_ms = caught.value.fields["budget_ms"], caught.value.fields["measured_ms"]
    assert isinstance(budget_ms, float)
    assert best_ms == min(device.staged)
    assert best_ms > budget_ms
    for said in (MS.format(best_ms), MS.format(budget_ms), MS.format(1.03 * best_ms), "was left in place"):
        assert said in caught.value.message
    after = again.status()
    assert after.active == before.active
    assert after.staged is None
    assert after.commits == before.commits
    assert not (again.run() / "result.json").exists()
    assert {name: state for name, state in again.files().items() if name in stages} == stages


def test_no_model_that_guesses_is_committed(again: Place) -> None:
    """The bake-off as if the gate had found no row better than guessing."""
    question = json.loads((again.run() / "run.json").read_text())
    seals = Seals(again.run(), json.dumps(question, sort_keys=True))
    for kind in ("convert", "measure"):
        for stage in (again.run() / "stages").glob(f"{kind}-*.json"):
            table = json.loads(stage.read_text())
            for row in table["value"]:
                row["gate"] = f"{GUESSING}balanced accuracy 50.0%"
            seals.write(stage, json.dumps(table).encode())
    before = again.status()
    with pytest.raises(
        GuessingError, match=r"gate guessing: balanced accuracy 50\.0%; the active model stays"
    ) as caught:
        edgenas.deploy("host", **OPTIONS, runs=again.runs)
    assert caught.value.exit_code == 3
    assert again.status() == before
    assert not (again.run() / "result.json").exists()


def test_a_deploy_that_missed_can_be_given_again(again: Place, deployed: Any) -> None:
    stages = again.files()
    result = edgenas.deploy("host", **OPTIONS, runs=again.runs)
    assert result.timing.latency_ms <= result.budget_ms == deployed.result.budget_ms
    assert (again.run() / "result.json").is_file()
    assert stages.items() <= again.files().items()  # nothing is done twice
    active = again.status().active
    assert active is not None
    assert active.sha256 == result.model_sha256


@pytest.mark.alone
def test_a_search_for_another_budget_uses_the_profile(deployed: Any, copy: Copy) -> None:
    place, recorder = copy(deployed.place), Recorder()
    before = place.status()
    runs = place.home.parent / "searches"
    searched = edgenas.search("host", data="digits", latency="60%", epochs=2, runs=runs, reporter=recorder)
    assert not any("profiling" in line for line in recorder.lines)
    assert searched.budget_ms < deployed.result.budget_ms
    assert searched.note is None
    measured = [c.measured_ms for c in searched.found.finalists]
    assert all(ms <= searched.budget_ms for ms in measured)
    assert max(measured) >= 0.5 * searched.budget_ms
    assert any(c.baseline for c in searched.found.finalists)
    assert any(c.template and not c.baseline for c in searched.found.finalists)
    (run,) = runs.iterdir()
    table = json.loads((run / "result.json").read_text(), parse_constant=no_constant)
    assert table == json.loads(json.dumps(searched.to_json()))
    assert len(table["finalists"][0]["recall"]["recall"]) == len(table["labels"]) == 10
    assert 0 <= table["finalists"][0]["balanced_validation"] <= 1
    assert place.status() == before  # nothing is installed


def test_a_budget_below_the_fastest_names_it(deployed: Any, copy: Copy) -> None:
    place = copy(deployed.place)
    before = place.status()
    runs = place.home.parent / "others"
    with pytest.raises(InfeasibleError, match="is below the fastest architecture of the space") as caught:
        edgenas.deploy("host", **{**OPTIONS, "latency": "0.01us"}, runs=runs)
    fastest_ms = caught.value.fields["fastest_ms"]
    assert isinstance(fastest_ms, float)
    assert MS.format(1.03 * fastest_ms) in caught.value.message
    assert place.status() == before
