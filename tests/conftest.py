# SPDX-License-Identifier: Apache-2.0
"""What tests of several folders share: architectures of a space, a conversion worker, a trained model, homes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
from helpers import turns
from helpers.short_deploys import make_home
from hypothesis import settings
from hypothesis import strategies as st

from edgenas.spaces.architecture import Architecture, Stage
from edgenas.spaces.space import SearchSpace

if TYPE_CHECKING:
    from edgenas.artifacts.artifact import Artifact
    from edgenas.boards.board import Precision
    from edgenas.conversion import Converter
    from edgenas.workflows.convert import Built

settings.register_profile("shared", deadline=None)  # of a computer that others use: it pauses for seconds
settings.load_profile("shared")

Architectures = Callable[[SearchSpace], st.SearchStrategy[Architecture]]


_ROOM = pytest.StashKey[IO[str]]()


def pytest_configure() -> None:
    """Let programs that tests start hear signals also where pytest was started with them ignored (`make test &`)."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> turns.ByFile:
    return turns.ByFile(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with turns.together(_folder(item)) as item.stash[_ROOM]:
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test that holds this computer to a budget runs while the other processes of the run wait."""
    if item.get_closest_marker("alone") is None:
        return (yield)
    with turns.alone(_folder(item), item.stash[_ROOM]):
        return (yield)


def _folder(item: pytest.Item) -> Path:
    """What all processes of a run know: the checkout's cache."""
    return item.config.cache.mkdir("turns")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: where two processes share the tests, none is left with a long one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def architectures() -> Architectures:
    """`architectures(space)`: a strategy for the space's genes, stages over the space's MACs included."""

    def of(space: SearchSpace) -> st.SearchStrategy[Architecture]:
        bodies = st.sampled_from(space.stage_bodies())
        stages = [
            st.builds(lambda body, width: Stage(body[0], width, *body[1:]), bodies, st.sampled_from(choices.widths))
            for choices in space.stages
        ]
        stem = st.sampled_from(space.stem_strides), st.sampled_from(space.stem_widths)
        return st.builds(Architecture, *stem, st.tuples(*stages))

    return of


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Torch on one thread: networks this small take several times as long on two where others use the cores, and the
    order of a sum, with it the last digit, depends on their number.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def converter() -> Iterator[Converter]:
    """The user's own converter, asked for before a test gives itself another home."""
    from edgenas.conversion import Converter, environment

    environment.ensure()
    with Converter() as converter:
        yield converter


@pytest.fixture(scope="session")
def build_digits(
    converter: Converter, one_thread: None, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Precision, Precision | None], Built]:
    """`build_digits(precision, onnx)`: a model of digits after a few epochs, converted and judged."""
    from edgenas import tasks
    from edgenas.training import Job, Recipe
    from edgenas.training.fit import fit
    from edgenas.workflows.convert import build

    digits = tasks.load("digits")
    space = SearchSpace.load("tiny", digits.input_shape, digits.classes)
    text = "stem-8s1/plain-8x1/separable-16x1k3/plain-32x1"
    checkpoint = tmp_path_factory.mktemp("digits") / "digits.pt"
    fit(Job(text, text, Recipe(3, {"flip": False, "crop": 1}), 3, 0, str(checkpoint)), space, digits)

    def built(precision: Precision, onnx: Precision | None = None) -> Built:
        return build(converter, checkpoint, space, Architecture.parse(text), digits, precision, onnx=onnx)

    return built


@pytest.fixture(scope="session")
def artifact(build_digits: Callable[[Precision, Precision | None], Built]) -> Artifact:
    """A model of digits after a few epochs, as int8."""
    return build_digits("int8", None).artifact


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of the test's own."""
    path = make_home(tmp_path / "home")
    monkeypatch.setenv("EDGENAS_HOME", str(path))
    return path
