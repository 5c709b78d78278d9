# SPDX-License-Identifier: Apache-2.0
"""The engine's kernels, for this machine and for Cortex-M, against a naive reference over a grid of shapes."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from helpers.firmware.kernel_cases import (
    Window,
    conv_case,
    dense_case,
    depthwise_case,
    needed_distance,
    overlapping,
    random_window,
    separate,
    with_channels,
)
from helpers.firmware.kernel_machines import Emulated, Host, Machine


@pytest.fixture(scope="module", params=["host", "cortex-m0", "cortex-m3", "cortex-m4", "cortex-m33"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Portable kernels on the host, M0 and M3, the DSP set on M4 and M33."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "host":
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler: install gcc or clang")
        return Host(compiler, folder)
    pytest.importorskip("unicorn", reason="needs the packages of edgenas[mcu]")
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no arm-none-eabi-gcc: install gcc-arm-none-eabi")
    return Emulated(request.param, folder)


def test_convolutions_of_any_shape(engine: Machine) -> None:
    rng = np.random.default_rng(1)
    for number in range(250):
        case = conv_case(rng, random_window(rng), bool(number % 3))
        np.testing.assert_array_equal(engine.run(case, separate(case, number % 4)), case.expected, str(number))


@pytest.mark.parametrize("channels", [4, 8, 20, 36])
def test_convolutions_of_whole_words(engine: Machine, channels: int) -> None:
    rng = np.random.default_rng(channels)
    for number in range(25):
        case = conv_case(rng, with_channels(random_window(rng), channels, number % 5 + 1), True)
        np.testing.assert_array_equal(engine.run(case, separate(case, number % 4)), case.expected, str(number))


def test_depthwise_convolutions_of_any_shape(engine: Machine) -> None:
    rng = np.random.default_rng(2)
    for number in range(300):
        window = random_window(rng)
        if number % 2:  # the common one
            window = Window(
                **{**window.__dict__, "kernel": (3, 3), "stride": (1, 1), "pads": (1, 1), "outputs": window.size}
            )
        window = with_channels(window, window.in_c, window.in_c * (number % 3 + 1))
        case = depthwise_case(rng, window, bool(number % 5), int(rng.integers(1, window.outputs[0] + 1)))
        np.testing.assert_array_equal(engine.run(case, separate(case, number % 4)), case.expected, str(number))


def test_dense_layers_of_any_size(engine: Machine) -> None:
    rng = np.random.default_rng(3)
    for inputs in (*range(1, 14), 64, 129):
        for outputs in range(1, 10):
            case = dense_case(rng, inputs, outputs, outputs != 5)
            np.testing.assert_array_equal(engine.run(case, separate(case, inputs % 4)), case.expected)
            np.testing.assert_array_equal(engine.run(case, overlapping(case, 0)), case.expected)


def test_a_convolution_may_overwrite_what_it_has_read(engine: Machine) -> None:
    rng = np.random.default_rng(4)
    for number in range(150):
        window = random_window(rng)
        case = conv_case(rng, window, True)
        layout = overlapping(case, needed_distance(window))
        np.testing.assert_array_equal(engine.run(case, layout), case.expected, str(number))


def test_a_1x1_convolution_works_in_place(engine: Machine) -> None:
    rng = np.random.default_rng(5)
    for channels in range(1, 12):
        size = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        window = Window(size, channels, int(rng.integers(1, channels + 1)), (1, 1), (1, 1), (0, 0), size, 3)
        case = conv_case(rng, window, True)
        np.testing.assert_array_equal(engine.run(case, overlapping(case, 0)), case.expected)


def test_a_depthwise_convolution_works_in_place(engine: Machine) -> None:
    rng = np.random.default_rng(6)
    for number in range(100):
        kernel = (int(rng.integers(1, 8)), int(rng.integers(1, 8)))
        size = (int(rng.integers(1, 12)), int(rng.integers(1, 12)))
        pads = (int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1])))
        channels = int(rng.integers(1, 10))
        window = Window(size, channels, channels, kernel, (1, 1), pads, size, -7)
        case = depthwise_case(rng, window, True, number % size[0] + 1)
        np.testing.assert_array_equal(engine.run(case, overlapping(case, 0)), case.expected, str(number))
