# SPDX-License-Identifier: Apache-2.0
"""One-operator models against the whole model, in the runtime that runs both."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from helpers.conversion import conversion_nets as nets
from helpers.tflite_builder import Op, T, constant, model

from edgenas.boards.board import Precision
from edgenas.conversion import Converter
from edgenas.conversion.cut import cut
from edgenas.errors import ConversionError


@pytest.mark.parametrize(("name", "precision"), [("mbconv", "int8"), ("residual", "float32")])
def test_every_piece_computes_what_the_whole_model_does_there(
    converter: Converter, name: str, precision: Precision
) -> None:
    channels, height, width = nets.SHAPES[name]
    images = np.random.default_rng(0).random((4, height, width, channels), np.float32)
    tflite = converter.convert(nets.NETS[name](), (channels, height, width), precision, images).tflite
    whole = _interpreter(tflite)
    source = whole.get_input_details()[0]
    data = np.random.default_rng(1).integers(-128, 128, source["shape"]) / (1 if precision == "int8" else 128)
    whole.set_tensor(source["index"], data.astype(source["dtype"]))
    whole.invoke()
    values = {tensor["name"]: whole.get_tensor(tensor["index"]) for tensor in whole.get_tensor_details()}
    pieces = cut(tflite)
    assert [piece.index for piece in pieces] == list(range(len(whole._get_ops_details())))
    for piece in pieces:
        if piece.within is not None:
            assert (piece.name, piece.tflite, pieces[piece.within].name[-7:]) == ("PAD", None, "CONV_2D")
            continue
        assert piece.tflite is not None
        alone = _interpreter(piece.tflite)
        for detail in alone.get_input_details():
            alone.set_tensor(detail["index"], values[detail["name"]])
        alone.invoke()
        (target,) = alone.get_output_details()
        output = alone.get_tensor(target["index"])
        assert output.shape == piece.output_shape
        assert output.tobytes() == values[target["name"]].tobytes(), piece.name
        assert target["quantization"] == next(
            tensor["quantization"] for tensor in whole.get_tensor_details() if tensor["name"] == target["name"]
        )
    macs = {piece.name: piece.macs for piece in pieces}
    assert (macs["FULLY_CONNECTED"], macs["RESHAPE"]) == (160, None)


def _interpreter(tflite: bytes) -> Any:
    # Without the delegate, which fuses operators and keeps no intermediate results.
    made = Interpreter(
        model_content=tflite,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    made.allocate_tensors()
    return made


def test_what_cannot_stand_alone_says_why() -> None:
    number = T((1, 4), None, dtype="int32")
    fixed = constant([[1.0, 2, 3, 4]], None, "float32")
    real = T((1, 4), None, dtype="float32")
    ops = [
        Op("ADD", (0, 0), (1,)),
        Op("ADD", (2, 2), (3,)),
        Op("ADD", (3, 4), (5,)),
    ]
    pieces = cut(model([number, number, fixed, real, real, real], ops, (0, 4), (1, 5)))
    assert [piece.reason for piece in pieces] == [
        "its input of type int32 is more than data",
        "it reads constants alone",
        "",
    ]
    assert [piece.tflite is None for piece in pieces] == [True, True, False]


def test_a_pad_that_others_read_stands_alone() -> None:
    image, padded = T((1, 2, 2, 1)), T((1, 4, 4, 1))
    pads = constant([[0, 0], [1, 1], [1, 1], [0, 0]], None, "int32")
    pieces = cut(model([image, pads, padded, padded], [Op("PAD", (0, 1), (2,)), Op("RELU", (2,), (3,))], (0,), (3,)))
    assert [(piece.within, piece.tflite is None) for piece in pieces] == [(None, False), (None, False)]


def test_damaged_files_raise_nothing_else() -> None:
    whole = model([T((1, 4)), T((1, 4))], [Op("RELU", (0,), (1,))], (0,), (1,))
    source = random.Random(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(source.randrange(1, 5)):
            damaged[source.randrange(8, len(damaged))] = source.randrange(256)
        with suppress(ConversionError):
            cut(bytes(damaged))
