# SPDX-License-Identifier: Apache-2.0
"""Float32 TFLite to int8: static, per-channel weights, ranges by minimum and maximum over the calibration samples."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from edgenas.conversion.repack import repack
from edgenas.conversion.runtime import interpreter, quiet
from edgenas.errors import ConversionError


def to_int8(
    float_tflite: bytes, calibration: npt.NDArray[np.float32], input_range: tuple[float, float] | None = None
) -> bytes:
    """The int8 model, int8 inputs and outputs included, with its weights inline.

    `calibration` is (n, height, width, channels) float32, at least one sample. `input_range` fixes what the input's
    -128 and 127 stand for instead of leaving it to the samples: (0.0, 1.0) gives scale 1/255 and zero point -128, so a
    byte of an image becomes the input by subtracting 128.

    The default update of the quantiser, a moving average over the samples, clips a third of the signal on small
    networks; minimum and maximum do not.

    Raises ValueError if the samples are empty, not float32 or outside `input_range`; ConversionError (check
    "quantisation") if the quantiser refuses the model.
    """
    if len(calibration) == 0 or calibration.dtype != np.float32:
        raise ValueError(
            f"calibration is {calibration.dtype}{calibration.shape}: at least one float32 sample is needed"
        )
    if not np.isfinite(calibration).all():
        raise ValueError("calibration holds values that are not finite")
    if input_range is not None and not (input_range[0] <= calibration.min() and calibration.max() <= input_range[1]):
        raise ValueError(f"calibration is in [{calibration.min()}, {calibration.max()}], outside {input_range}")
    from ai_edge_quantizer import calibrator, quantizer, recipe
    from ai_edge_quantizer.utils import qsv_utils

    model = interpreter(float_tflite)
    signature, names = next(iter(model.get_signature_list().items()))
    source = model.get_input_details()[0]
    if tuple(calibration.shape[1:]) != tuple(source["shape"][1:]):
        raise ValueError(f"calibration {calibration.shape[1:]}, the model takes {tuple(source['shape'][1:])}")
    samples = [{names["inputs"][0]: sample[np.newaxis]} for sample in calibration]
    try:
        with _quietly():
            work = quantizer.Quantizer(float_tflite, recipe.static_wi8_ai8())
            # The runtime's own counters give the same ranges as reading every tensor in Python, 15 times faster.
            ranges = calibrator.Calibrator(
                float_tflite,
                num_threads=1,
                mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
                qsv_update_func=qsv_utils.min_max_update,
            )
            ranges.calibrate({signature: samples}, work._recipe_manager)
            statistics = ranges.get_model_qsvs()
            if input_range is not None:
                low, high = input_range
                statistics[source["name"]] = {"min": np.array([low]), "max": np.array([high])}
            result = work.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    except (ValueError, RuntimeError, NotImplementedError) as error:
        text = " ".join(str(error).split())[:300]
        raise ConversionError(f"the quantiser refuses this model: {text}", check="quantisation") from error
    return repack(bytes(result.quantized_model))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the quantiser's progress bars, the runtime's messages and the warning about its debugging mode."""
    with contextlib.redirect_stderr(io.StringIO()), quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
