# SPDX-License-Identifier: Apache-2.0
"""Models that the engine does not run: one for every refusal, and what its line says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from helpers.tflite_builder import Op, T, constant, model

schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="needs pip install ai-edge-litert")
flatbuffers = pytest.importorskip("flatbuffers", reason="needs pip install 'edgenas[mcu]'")

WINDOW = {"StrideH": 1, "StrideW": 1, "Padding": 1}
CONV = {**WINDOW, "DilationHFactor": 1, "DilationWFactor": 1}
POOL = {**WINDOW, "FilterHeight": 2, "FilterWidth": 2}
PIXELS, ROW, WIDE = T((1, 4, 4, 2), 0.1), T((1, 4), 0.1), T((1, 4, 4, 2), 0.2)
ODD = T((1, 2, 2, 3), 0.2, 3)
INTS = constant([1, 2], None, "int32")
FILTERS = constant(np.arange(54).reshape(3, 3, 3, 2), [0.1, 0.2, 0.3])


def one(kind: str, tensors: Sequence[T], *more: int, **options: Any) -> bytes:
    """A model of one operator from tensor 0 to tensor 1, which reads `more` as well."""
    return model(tensors, [Op(kind, [0, *more], [1], options)], [0], [1])


def conv(options: dict[str, int] | None = None, **more: T) -> bytes:
    changed = {"input": PIXELS, "output": ODD, "weights": FILTERS, "bias": constant([1, 2, 3], None, "int32")} | more
    return one("CONV_2D", list(changed.values()), 2, 3, **{**CONV, **(options or {})})


def dense(weights: T, **more: Any) -> bytes:
    return one("FULLY_CONNECTED", [ROW, T((1, 3), 0.2), weights], 2, **more)


def changed(whole: bytes, change: Callable[[Any], Any]) -> bytes:
    """`whole` after `change` of the schema's objects."""
    objects = schema.ModelT.InitFromPackedBuf(whole)
    change(objects)
    builder = flatbuffers.Builder(1024)
    builder.Finish(objects.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_tensor(number: int, **values: Any) -> bytes:
    """A model of one RELU with fields of a tensor changed."""

    def change(objects: Any) -> None:
        for name, value in values.items():
            setattr(objects.subgraphs[0].tensors[number], name, value)

    return changed(relu(), change)


def relu(source: T = ROW, result: T = ROW) -> bytes:
    return one("RELU", [source, result])


def chain(*ops: Op, tensors: int = 4, inputs: Sequence[int] = (0,), outputs: Sequence[int] = (1,)) -> bytes:
    return model([ROW] * tensors, ops, inputs, outputs)


def named(whole: bytes, code: str) -> bytes:
    """`whole` with this code for its custom operator."""

    def change(objects: Any) -> None:
        custom = next(op for op in objects.operatorCodes if op.builtinCode == schema.BuiltinOperator.CUSTOM)
        custom.customCode = code

    return changed(whole, change)


def with_graph(whole: bytes) -> bytes:
    return changed(whole, lambda objects: objects.subgraphs.append(objects.subgraphs[0]))


def custom_quantisation() -> Any:
    found = schema.QuantizationParametersT()
    found.scale, found.zeroPoint = [0.1], [0]
    found.detailsType, found.details = schema.QuantizationDetails.CustomQuantization, schema.CustomQuantizationT()
    return found


def external() -> bytes:
    def change(objects: Any) -> None:
        objects.buffers[1].data, objects.buffers[1].offset, objects.buffers[1].size = None, 4096, 54

    return changed(conv(), change)


def two_points(quantisation: Any) -> None:
    quantisation.zeroPoint = [0, 0]


STATE = chain(Op("CALL_ONCE", [], []), Op("VAR_HANDLE", [], [2]), Op("READ_VARIABLE", [2], [1]))
UPDATE = chain(Op("RELU", [0], [1]), Op("ASSIGN_VARIABLE", [2, 1], []))
LOOP = chain(Op("WHILE", [0], [1, 2]))
CUSTOM = named(chain(Op("CUSTOM", [0], [1])), "SignalFftAutoScale")
CUSTOM_OF_TWO = named(chain(Op("CUSTOM", [0], [1, 2])), "SignalFftAutoScale")
FLOATS = T((1, 4), None, dtype="float32")

# The model, and what the line says: the reason, then the way out.
CASES: dict[str, tuple[bytes, str, str]] = {
    "not a model": (b"hello, world, hello", "no TFL3", "give the file that the converter wrote"),
    "cut off": (relu()[:200], "malformed .tflite file", "copy or convert it again"),
    "no such tensor": (one("RELU", [ROW, ROW], 9), "malformed .tflite file", "copy or convert it again"),
    "version": (changed(relu(), lambda m: setattr(m, "version", 2)), "schema version 2", "convert to version 3"),
    "no graph": (changed(relu(), lambda m: setattr(m, "subgraphs", [])), "has no graph", "convert it again"),
    "no operators": (chain(), "0 operators", "convert it again"),
    "state": (STATE, "operator 1 (VAR_HANDLE) keeps state between inferences", "export the model without streaming"),
    "state that is only written": (UPDATE, "(ASSIGN_VARIABLE) keeps state", "export the model without streaming"),
    "a variable": (with_tensor(1, isVariable=True), "keeps state", "export the model without streaming"),
    "a loop": (LOOP, "operator 0 (WHILE) runs another graph", "convert without control flow"),
    "two signatures": (with_graph(relu()), "2 graphs, 1 is supported", "convert one function (signature) alone"),
    "custom": (CUSTOM, "operator 0 (CUSTOM SignalFftAutoScale)", "replace it by built-in operators"),
    "custom, two results": (CUSTOM_OF_TWO, "0 (CUSTOM SignalFftAutoScale)", "replace it by built-in operators"),
    "custom, any name": (
        named(chain(Op("CUSTOM", [0], [1])), "Ünbe\nkannt" * 50),
        "(CUSTOM Ünbe\\nkannt",
        "replace it",
    ),
    "Vela": (named(chain(Op("CUSTOM", [0], [1])), "ethos-u"), "(CUSTOM ethos-u)", "from before Vela compiled it"),
    "unknown": (one("COS", [ROW, ROW]), "operator 0 (COS) is not supported", "use convolutions"),
    "near": (one("TRANSPOSE_CONV", [ROW, ROW]), "(TRANSPOSE_CONV) is not supported", "enlarge before the network"),
    "in the middle": (chain(Op("DEQUANTIZE", [0], [2]), Op("RELU", [2], [1])), "(DEQUANTIZE)", "int8 throughout"),
    "two results": (chain(Op("RELU", [0], [1, 2])), "has 2 outputs: 1 is supported", "convert the model again"),
    "many inputs": (one("CONCATENATION", [ROW, ROW], *[0] * 64, Axis=1), "has 65 inputs: at most 64", "join fewer"),
    "two inputs": (chain(Op("ADD", [0, 2], [1]), inputs=(0, 2)), "2 inputs", "use a model with one"),
    "two outputs": (chain(Op("RELU", [0], [1]), outputs=(1, 1)), "2 outputs", "convert one model for each"),
    "no output": (chain(Op("RELU", [0], [1]), outputs=()), "0 outputs", "convert it again"),
    "output is input": (chain(Op("RELU", [0], [1]), outputs=(0,)), "t0 is its input", "with a computed output"),
    "output is constant": (
        model([ROW, INTS, ROW], [Op("RELU", [0], [2])], [0], [1]), "t1 is a constant", "with a computed output"
    ),
    "output of nothing": (chain(Op("RELU", [0], [1]), outputs=(2,)), "t2 is what no operator writes", "convert"),
    "input is constant": (
        model([INTS, ROW, ROW], [Op("RELU", [2], [1])], [0], [1]), "input t0 is a constant", "convert it again"
    ),
    "unwritten": (chain(Op("RELU", [2], [1])), "reads tensor t2, which nothing has written", "convert it again"),
    "writes a constant": (
        model([ROW, ROW, INTS], [Op("RELU", [0], [2]), Op("RELU", [2], [1])], [0], [1]),
        "writes the constant t2", "convert the model again",
    ),
    "written twice": (chain(*[Op("RELU", [0], [1])] * 2), "writes t1, which is written already", "convert"),
    "a sparse tensor": (with_tensor(1, sparsity=schema.SparsityParametersT()), "t1 is sparse", "with dense weights"),
    "six dimensions": (relu(T((1,) * 6)), "t0 has 6 dimensions: at most 5", "join some"),
    "dynamic": (relu(T((1, 1), signature=(1, -1))), "t0 has the dynamic shape [1, -1]", "fixed sizes, batch 1"),
    "dynamic, any length": (
        relu(T((7, 1), signature=(-1, *[9] * 999))), "dynamic shape [-1, 9, 9, 9, 9, ...]", "fixed sizes, batch 1"
    ),
    "empty": (relu(T((1, 0))), "t0 has the shape [1, 0]", "fixed sizes of at least 1"),
    "too large": (relu(T((1, 1 << 25))), "t0 has 33554432 values: at most 16777216", "split it"),
    "wrong size": (conv(weights=T((3, 3, 3, 2), data=np.zeros(7, np.int8))), "t2 has 7 values", "convert it again"),
    "outside": (external(), "t2 lies outside the flatbuffer", "without external buffers"),
    "half": (
        conv(weights=T((3, 3, 3, 2), None, dtype="float16", data=np.zeros((3, 3, 3, 2), np.float16))),
        "t2 is a constant of type FLOAT16", "quantise to int8 with int32 biases",
    ),
    "other quantisation": (
        with_tensor(0, quantization=custom_quantisation()), "t0 has a custom quantisation", "scales and zero points"
    ),
    "zero points": (
        changed(conv(), lambda m: two_points(m.subgraphs[0].tensors[2].quantization)),
        "t2 has 3 scales and 2 zero points", "convert it again",
    ),
    "scale": (relu(T((1, 4), float("nan"))), "a scale that is not a positive number", "quantise the model again"),
    "float32": (relu(FLOATS, FLOATS), "input t0 is float32", "full integer quantisation, int8 inputs and outputs"),
    "uint8": (relu(T((1, 4), 0.1, 3, "uint8")), "input t0 is uint8", "full integer quantisation"),
    "float32 output": (relu(ROW, FLOATS), "output t1 is float32", "full integer quantisation"),
    "no scale": (relu(T((1, 4), None)), "input t0 has no scale", "full integer quantisation"),
    "two scales": (relu(T((1, 4), [0.1, 0.2])), "input t0 has 2 scales in place of 1", "full integer quantisation"),
    "zero point": (relu(T((1, 4), 0.1, 200)), "the zero point 200, not one of -128 to 127", "full integer"),
    "batch": (relu(T((2, 4)), T((2, 4))), "input t0 has the shape [2, 4]", "convert it with batch 1"),
    "float32 inside": (
        model([ROW, ROW, FLOATS], [Op("RELU", [0], [2]), Op("RELU", [2], [1])], [0], [1]),
        "has the output t2 of type float32", "quantise to int8 throughout",
    ),
    "zero point inside": (
        model([ROW, ROW, T((1, 4), 0.1, -200)], [Op("RELU", [0], [2]), Op("RELU", [2], [1])], [0], [1]),
        "the output t2 with the zero point -200", "quantise the model again",
    ),
    "lacks weights": (one("CONV_2D", [PIXELS, ODD], **CONV), "lacks its input 1", "convert the model again"),
    "computed weights": (one("FULLY_CONNECTED", [ROW, ROW], 0), "has computed weights: int8", "make them constant"),
    "float32 weights": (
        dense(constant(np.ones((3, 4)), None, "float32")), "has float32 weights: int8", "quantise to int8 throughout"
    ),
    "constant input": (
        model([ROW, ROW, constant([[1, 2, 3, 4]])], [Op("CONCATENATION", [0, 2], [1], {"Axis": 1})], [0], [1]),
        "has a constant as its input 1", "let the converter fold constants",
    ),
    "two constants": (
        model(
            [ROW, ROW, constant([[1, 2, 3, 4]]), ROW],
            [Op("ADD", [2, 2], [3]), Op("ADD", [0, 3], [1])], [0], [1],
        ),
        "joins two constants", "let the converter fold constants",
    ),
    "fused": (conv({"FusedActivationFunction": 4}), "the fused activation 4", "use none, RELU"),
    "fused, tiny scale": (
        conv({"FusedActivationFunction": 3}, output=T((1, 2, 2, 3), 1e-20), weights=constant(FILTERS.data, 1e-20)),
        "does not fit an int32", "quantise again",
    ),
    "rescales": (conv(output=T((1, 2, 2, 3), 1e-30)), "at most 2^30", "quantise the model again"),
    "groups": (conv(input=T((1, 4, 4, 4), 0.1)), "has 2 groups", "use groups 1, or DEPTHWISE_CONV_2D"),
    "odd groups": (conv(input=T((1, 4, 4, 3), 0.1)), "weights for 2 channels and an input of 3", "convert it again"),
    "channels": (conv(output=T((1, 2, 2, 4), 0.2)), "weights for 3 channels and an output of 4", "convert it again"),
    "depthwise channels": (
        one("DEPTHWISE_CONV_2D", [PIXELS, ODD, constant(FILTERS.data, 0.1)], 2, **CONV),
        "has weights of shape", "convert it again",
    ),
    "output shape": (conv(output=T((1, 3, 2, 3), 0.2)), "[1, 3, 2, 3] where [2, 2] follow", "convert it again"),
    "rank": (conv(input=T((1, 16, 2), 0.1)), "the input shape [1, 16, 2]", "reshape it"),
    "inner batch": (
        model(
            [ROW, ROW, T((4, 1, 1, 1), 0.1), T((4, 1, 1, 1), 0.1), INTS],
            [Op("RESHAPE", [0, 4], [2]), Op("MAX_POOL_2D", [2], [3], POOL), Op("RESHAPE", [3, 4], [1])], [0], [1],
        ),
        "the input shape [4, 1, 1, 1]", "convert with batch 1",
    ),
    "long": (conv(input=T((1, 70000, 1, 2), 0.1)), "the input shape [1, 70000, 1, 2]", "no size larger than 65535"),
    "kernel": (
        one("MAX_POOL_2D", [PIXELS, PIXELS], **{**POOL, "FilterHeight": 256}), "the kernel [256, 2]", "use at most 255"
    ),
    "no strides": (
        changed(conv(), lambda m: setattr(m.subgraphs[0].operators[0], "builtinOptionsType", 0)),
        "lacks its option StrideH", "convert the model again",
    ),
    "padding": (conv({"Padding": 5}), "has padding 5", "use SAME or VALID"),
    "strides": (conv({"StrideH": 0}), "the strides [0, 1]", "use 1 to 255"),
    "dilation": (conv({"DilationHFactor": 2}), "dilation 2", "use dilation 1 with a larger kernel"),
    "options": (one("MAX_POOL_2D", [PIXELS, PIXELS]), "the window [0, 0]", "convert the model again"),
    "weights' rank": (conv(weights=constant(np.zeros((3, 18)))), "weights of shape [3, 18]: 4 dim", "convert it again"),
    "weights' scales": (conv(weights=constant(FILTERS.data, [0.1, 0.2])), "2 weight scales", "one for each output"),
    "weights' axis": (conv(weights=constant(FILTERS.data, [0.1] * 3, axis=3)), "3 weight scales on axis 3", "one for"),
    "weights' zero point": (
        conv(weights=T((3, 3, 3, 2), 0.1, 5, data=FILTERS.data)), "weights with a zero point", "symmetrically"
    ),
    "biases": (conv(bias=constant([1, 2], None, "int32")), "2 biases for 3 channels", "convert the model again"),
    "large bias": (conv(bias=constant([2**31 - 1, 0, 0], None, "int32")), "leave an int32", "train and quantise again"),
    "shuffled": (dense(constant(np.ones((3, 4))), WeightsFormat=1), "shuffled weights", "default weights format"),
    "dense sizes": (dense(constant(np.ones((3, 5)))), "maps [1, 4] to [1, 3]", "convert it again"),
    "dense positions": (
        one("FULLY_CONNECTED", [T((1, 70000, 1)), T((1, 70000, 1)), constant([[1]])], 2),
        "at 70000 positions", "at most 65535 each",
    ),
    "pool channels": (one("MAX_POOL_2D", [PIXELS, T((1, 3, 3, 4), 0.1)], **POOL), "2 channels to 4", "convert"),
    "pool scales": (
        one("MAX_POOL_2D", [PIXELS, T((1, 3, 3, 2), 0.2)], **POOL),
        "scale 0.100000001 and zero point 0 to 0.200000003 and 0", "put a QUANTIZE before it",
    ),
    "add shapes": (one("ADD", [ROW, T((1, 5), 0.1)], 0), "joins [1, 4] and [1, 4] to [1, 5]", "equal shapes"),
    "add scales": (one("ADD", [ROW, T((1, 4), 1e-9)], 0), "output scale below its inputs'", "quantise again"),
    "mean axes": (
        one("MEAN", [PIXELS, T((1, 4, 4), 0.1), constant([3], None, "int32")], 2),
        "averages the axes [3] of [1, 4, 4, 2]", "average height and width together",
    ),
    "mean count": (
        one("MEAN", [T((1, 4096, 2048, 1)), T((1, 1)), INTS], 2), "averages 8388608 positions", "pool before it"
    ),
    "mean output": (one("MEAN", [PIXELS, T((1, 3), 0.1), INTS], 2), "[1, 3] for 2 channels", "convert it again"),
    "softmax scale": (one("SOFTMAX", [ROW, ROW]), "scale 0.1 and zero point 0: 1/256 and -128", "quantise again"),
    "softmax classes": (
        one("SOFTMAX", [T((1, 5000)), T((1, 5000), 1 / 256, -128)], Beta=1.0), "5000 classes", "end the model before it"
    ),
    "softmax size": (
        one("SOFTMAX", [ROW, T((1, 5), 1 / 256, -128)], Beta=1.0), "maps [1, 4] to [1, 5]", "convert the model again"
    ),
    "softmax beta": (
        one("SOFTMAX", [ROW, T((1, 4), 1 / 256, -128)], Beta=0.0), "beta x input scale = 0", "quantise again"
    ),
    "logistic": (one("LOGISTIC", [ROW, ROW]), "output zero point 0: -128 is supported", "quantise again"),
    "leaky": (
        changed(one("LEAKY_RELU", [ROW, ROW]), lambda m: setattr(m.subgraphs[0].operators[0], "builtinOptionsType", 0)),
        "lacks its option Alpha", "convert the model again",
    ),
    "hard swish": (one("HARD_SWISH", [ROW, T((1, 4), 100.0)]), "output scale 100", "quantise again"),
    "joins": (
        one("CONCATENATION", [ROW, T((1, 8), 0.1)], 0, Axis=7), "along axis 7", "convert the model again"
    ),
    "joins too much": (
        one("CONCATENATION", [ROW, T((1, 7), 0.1)], 0, Axis=1), "[1, 4] into [1, 7]", "convert the model again"
    ),
    "joins too little": (
        one("CONCATENATION", [ROW, T((1, 9), 0.1)], 0, Axis=1), "fills 8 of [1, 9]", "convert the model again"
    ),
    "joins and clamps": (
        one("CONCATENATION", [ROW, T((1, 8), 0.1)], 0, Axis=1, FusedActivationFunction=1),
        "fused activation", "put RELU or RELU6 behind it",
    ),
    "pads": (
        one("PAD", [PIXELS, PIXELS, constant(np.ones((500, 2)), None, "int32")], 2),
        "pads [1, 4, 4, 2] to [1, 4, 4, 2], unlike its paddings", "convert it again",
    ),
    "padding values": (
        one("PADV2", [ROW, ROW, constant([[0, 0], [0, 0]], None, "int32"), constant([1, 2], 0.1)], 2, 3),
        "has 2 padding values", "convert it again",
    ),
    "reshape": (one("RESHAPE", [ROW, T((1, 5), 0.1)]), "maps [1, 4] to [1, 5]", "convert the model again"),
}  # fmt: skip


# Sizes that no test can have, made small: the limit, its value here, the model, and what the line says.
LIMITS = [
    ("tflite_file._MAX_TENSORS", 1, relu(), "more than 1 tensors", "split the model"),
    ("tflite_file._MAX_OPERATORS", 1, STATE, "3 operators: 1 to 1", "split the model"),
    (
        "lowering.context.MAX_PLAN_BYTES",
        10,
        conv(output=T((1, 2, 2, 3), 1.0)),
        "constants over 10 bytes",
        "use fewer weights",
    ),
    ("lowering.context._MAX_STEPS", 0, relu(), "takes the plan over 0 steps", "fewer positions"),
]
