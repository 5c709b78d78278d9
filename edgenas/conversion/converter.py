# SPDX-License-Identifier: Apache-2.0
"""torch module to TFLite: the one way through export, conversion and quantisation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgenas.boards.board import PRECISIONS, Precision
from edgenas.conversion import environment
from edgenas.conversion.export import to_onnx
from edgenas.conversion.process import OnnxWorker
from edgenas.conversion.quantise import to_int8
from edgenas.conversion.repack import repack
from edgenas.errors import ConversionError

if TYPE_CHECKING:
    from torch import nn

Samples = npt.NDArray[np.float32]

_AHEAD = 3  # models exported before the first of them is quantised: keeps the worker busy, holds little memory


@dataclass(frozen=True)
class Converted:
    """One converted model: `tflite` in `precision`, and the float32 file that it came from (the same for float32)."""

    float_tflite: bytes
    tflite: bytes
    precision: Precision


class Converter:
    """Converts torch modules in eval mode; owns the conversion worker, so use it in a `with` block for many models.

    `input_range` is what the smallest and the largest int8 input stand for: the default (0.0, 1.0) makes a pixel of an
    image the input after subtracting 128; None leaves it to the calibration samples. The first conversion may build the
    converter's environment (`environment.ensure`), which tells `progress`.
    """

    def __init__(
        self,
        input_range: tuple[float, float] | None = (0.0, 1.0),
        progress: Callable[[str], None] | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        self._input_range = input_range
        self._progress = progress
        self._timeout_s = timeout_s
        self._worker: OnnxWorker | None = None

    def __enter__(self) -> Converter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Build the environment if needed and start the worker, which then loads while the caller does other things."""
        self._ready_worker().start()

    def close(self) -> None:
        """Stop the worker; the next conversion starts another."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def to_float(self, module: nn.Module, input_shape: tuple[int, int, int]) -> bytes:
        """The float32 TFLite file of `module`: one NHWC sample in; `input_shape` is (channels, height, width).

        Raises ConversionError whose field `check` is "environment", "export" or "conversion"; ValueError if the module
        is in training mode.
        """
        return repack(self._ready_worker().convert(to_onnx(module, input_shape)))

    def to_int8(self, float_tflite: bytes, calibration: Samples) -> bytes:
        """The int8 TFLite file of a float32 one; `calibration` as in `quantise.to_int8`, which says what is raised."""
        return to_int8(float_tflite, calibration, self._input_range)

    def convert(
        self,
        module: nn.Module,
        input_shape: tuple[int, int, int],
        precision: Precision = "int8",
        calibration: Samples | None = None,
    ) -> Converted:
        """Both steps: `to_float`, then for int8 `to_int8`, which needs `calibration` (n, height, width, channels)."""
        return self._finish(self.to_float(module, input_shape), precision, calibration)

    def convert_many(
        self,
        modules: Iterable[nn.Module],
        input_shape: tuple[int, int, int],
        precision: Precision = "int8",
        calibration: Samples | None = None,
    ) -> Iterator[Converted]:
        """`convert` for each of `modules`, in order, exporting and quantising while the worker converts.

        Modules are drawn a few ahead of what is yielded. Raises what `convert` raises, when that model's turn comes.
        """
        _check_precision(precision, calibration)
        worker = self._ready_worker()
        pending: deque[Future[bytes]] = deque()
        pool = ThreadPoolExecutor(1, thread_name_prefix="edgenas-convert")
        try:
            for module in modules:
                pending.append(_submit(pool, worker, module, input_shape))
                if len(pending) == _AHEAD:
                    yield self._finish(repack(pending.popleft().result()), precision, calibration)
            while pending:
                yield self._finish(repack(pending.popleft().result()), precision, calibration)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _finish(self, float_tflite: bytes, precision: Precision, calibration: Samples | None) -> Converted:
        _check_precision(precision, calibration)
        if calibration is None or precision == "float32":
            return Converted(float_tflite, float_tflite, "float32")
        return Converted(float_tflite, self.to_int8(float_tflite, calibration), "int8")

    def _ready_worker(self) -> OnnxWorker:
        if self._worker is None:
            self._worker = OnnxWorker(environment.ensure(self._progress), self._timeout_s)
        return self._worker


def _submit(
    pool: ThreadPoolExecutor, worker: OnnxWorker, module: nn.Module, input_shape: tuple[int, int, int]
) -> Future[bytes]:
    """Export here, convert in `pool`; a failed export waits for its turn like a failed conversion."""
    try:
        onnx = to_onnx(module, input_shape)
    except ConversionError as error:
        failed: Future[bytes] = Future()
        failed.set_exception(error)
        return failed
    return pool.submit(worker.convert, onnx)


def _check_precision(precision: Precision, calibration: Samples | None) -> None:
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}: 'int8' or 'float32'")
    if precision == "int8" and calibration is None:
        raise ValueError("int8 needs calibration samples")
