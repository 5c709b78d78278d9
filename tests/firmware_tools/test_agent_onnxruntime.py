# SPDX-License-Identifier: Apache-2.0
"""The agent's ONNX Runtime: models built in place, run by the real package."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.firmware_tools.raw_agent import SHORT, sha256

from firmware_tools.agent.parts.refusal import Refusal
from firmware_tools.agent.parts.runtimes import onnx_runtime, registry
from firmware_tools.connect import connect
from firmware_tools.device import Device
from firmware_tools.errors import InferenceError

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None,
    reason="needs pip install onnxruntime onnx",
)
SHAPE = (1, 3, 4, 2)


def built(shape: tuple[Any, ...] = SHAPE, kind: str = "FLOAT", operator: str = "Flatten", scale: float = 2.0) -> bytes:
    """An ONNX model [n, ...] -> [n, m]: `operator`, which flattens, and a factor."""
    helper, types = pytest.importorskip("onnx.helper"), pytest.importorskip("onnx").TensorProto
    dtype = getattr(types, kind)
    graph = helper.make_graph(
        [
            helper.make_node(operator, ["input"], ["flat"]),
            helper.make_node("Cast", ["flat"], ["number"], to=types.FLOAT),
            helper.make_node("Mul", ["number", "scale"], ["output"]),
        ],
        "test",
        [helper.make_tensor_value_info("input", dtype, shape)],
        [helper.make_tensor_value_info("output", types.FLOAT, None)],
        [helper.make_tensor("scale", types.FLOAT, [1], [scale])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


@contextmanager
def opened(root: Path, runtime: str | None = "onnxruntime") -> Iterator[Device]:
    with connect(f"local:?root={root}", home=root, runtime=runtime) as device:
        yield device


def test_a_host_that_names_no_runtime_never_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def there(name: str) -> Any:
        return lambda: ([[name, "1.0"]], [])

    def absent() -> Any:
        return [], ["passed over"]

    tflite, tensorrt, onnx = registry.RUNTIMES
    found = onnx._replace(find=there("onnxruntime"))
    monkeypatch.setattr(registry, "RUNTIMES", (tflite._replace(find=absent), tensorrt._replace(find=absent), found))
    assert registry.find_runtimes()[0] == [["onnxruntime", "1.0"]]
    assert registry.choose_runtime("onnxruntime") == ["onnxruntime", "1.0"]
    with pytest.raises(Refusal, match=r"no usable TFLite runtime \(passed over\).*pip install"):
        registry.choose_runtime(None)
    both = (tflite._replace(find=there("litert")), tensorrt._replace(find=there("tensorrt")), found)
    monkeypatch.setattr(registry, "RUNTIMES", both)
    assert [name for name, _ in registry.find_runtimes()[0]] == ["litert", "tensorrt", "onnxruntime"]
    assert registry.choose_runtime(None)[0] == "litert"
    monkeypatch.setattr(registry, "RUNTIMES", (tflite, tensorrt, onnx._replace(find=lambda: ([], []))))
    with pytest.raises(Refusal, match=r"no usable runtime onnxruntime: run .* -m pip install onnxruntime$"):
        registry.choose_runtime("onnxruntime")


@needs_package
def test_it_is_the_last_runtime_unless_it_is_named(root: Path) -> None:
    import onnxruntime

    with opened(root, None) as device:
        names = [runtime.name for runtime in device.info().runtimes]
        assert (names[0], names[-1]) == ("litert", "onnxruntime")
    with opened(root) as device:
        first = device.info().runtimes[0]
        assert (first.name, first.version) == ("onnxruntime", onnxruntime.__version__)


@needs_package
@pytest.mark.parametrize("threads", [1, 2])
def test_models_are_timed_as_those_of_tflite(root: Path, threads: int) -> None:
    model, other = built(), built((1, 8))
    with opened(root) as device:
        first, second = device.time([model, other], replace(SHORT, threads=threads))
        assert device.time_operators(model, SHORT) is None
        (beside,) = device.time([model], replace(SHORT, reference=model))
    assert (first.sha256, second.sha256) == (sha256(model), sha256(other))
    assert first.n >= 30 * SHORT.processes
    assert 0 < first.min_ms <= first.latency_ms <= first.max_ms < 100
    assert (first.conditions.runtime, first.conditions.threads) == ("onnxruntime", threads)
    assert beside.relative == pytest.approx(1, rel=0.5)


@needs_package
def test_a_staged_model_computes_what_it_says_from_images_that_come_as_nhwc(root: Path, models: list[bytes]) -> None:
    images = np.random.default_rng(0).standard_normal((3, 4, 2, 3)).astype(np.float32)
    rows = np.arange(12, dtype=np.float32).reshape(2, 6)
    with opened(root) as device:
        device.stage(models[0], {}, built())
        assert np.array_equal(device.infer_staged(images), 2 * images.transpose(0, 3, 1, 2).reshape(3, -1))
        assert device.time_staged(SHORT).sha256 == sha256(models[0])
        device.commit()
        device.stage(models[1], {}, built(("n", 6), scale=3.0))
        assert np.array_equal(device.infer_staged(rows), 3 * rows)
        device.stage(models[1], {}, built((1, 6), kind="UINT8"))
        assert np.array_equal(device.infer_staged(rows.astype(np.uint8)), 2 * rows)
    assert (root / "active" / "model.onnx").read_bytes() == built()


@needs_package
@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: b"no model at all", "the runtime refuses the model"),
        (lambda: built(operator="Nonsense"), "the runtime refuses the model"),
        (lambda: built((1, "height", 2)), r"input input of the model has shape \[1, 'height', 2\]"),
        (lambda: built(kind="STRING"), r"input input of the model is tensor\(string\)"),
        (lambda: b"\0\0\0\0TFL3", "ONNX Runtime takes ONNX models, this is a .tflite file"),
    ],
    ids=["garbage", "operator", "open size", "text", "tflite"],
)
def test_what_cannot_run_is_one_line(root: Path, model: Any, says: str) -> None:
    with opened(root) as device:
        with pytest.raises(InferenceError, match=says) as caught:
            device.time([model()], SHORT)
        assert caught.value.fields["reason"] == "refused"
        assert "\n" not in caught.value.message


@needs_package
def test_inputs_and_slots_that_do_not_fit(root: Path, models: list[bytes]) -> None:
    with opened(root) as device:
        device.stage(models[0], {})
        with pytest.raises(InferenceError, match=r"no ONNX file came with this model: .* --runtime onnxruntime"):
            device.time_staged(SHORT)
        device.stage(models[0], {}, built())
        for wrong in (np.zeros((1, 4, 2, 3), np.int8), np.zeros((1, 2, 4, 3), np.float32)):
            with pytest.raises(InferenceError, match=r"the model takes float32 \[1, 3, 4, 2\]") as caught:
                device.infer_staged(wrong)
            assert caught.value.fields["reason"] == "inputs"


@needs_package
def test_a_model_that_fails_while_it_runs_is_one_line(root: Path, models: list[bytes]) -> None:
    """An index beyond its table."""
    helper, types = pytest.importorskip("onnx.helper"), pytest.importorskip("onnx").TensorProto
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input"], ["output"])],
        "test",
        [helper.make_tensor_value_info("input", types.INT64, [1, 1])],
        [helper.make_tensor_value_info("output", types.FLOAT, None)],
        [helper.make_tensor("table", types.FLOAT, [2], [0.0, 1.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with opened(root) as device:
        device.stage(models[0], {}, model.SerializeToString())
        with pytest.raises(InferenceError, match=r"the runtime fails on the model: .*Gather") as caught:
            device.infer_staged(np.full((1, 1), 7, np.int64))
    assert caught.value.fields["reason"] == "refused"


@needs_package
def test_a_session_has_the_threads_that_were_asked_for(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(built())
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("needs Linux's /proc/self/task")
    kept, counts = [], []
    for threads in (1, 3):
        kept.append(onnx_runtime.load(str(tmp_path / "model.onnx"), threads))
        counts.append(len(list(tasks.iterdir())))
    assert counts[1] - counts[0] == 2  # the calling thread is the third
