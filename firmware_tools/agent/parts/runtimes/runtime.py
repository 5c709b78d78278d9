# SPDX-License-Identifier: Apache-2.0
"""What the agent asks of a kind of runtime."""

from __future__ import annotations

from typing import Any, Callable, Iterator, NamedTuple

from ..refusal import Refusal


class Runtime(NamedTuple):
    """One kind of runtime, which may be several packages.

    `find()` is [name, version] of those that are usable, in order of preference, and why others were passed over.
    `missing(wanted, notes)` is the refusal if `wanted` is not there (None: none was named), with a command that helps.
    `answers(job)` does a worker's job. It answers a job "time" by a run of each model in its order, "infer" by outputs,
    and "operators", where it `times_operators`, by what these take. It may raise Refusal, ValueError and RuntimeError.
    `by_default`: a host that names no runtime may get it.
    """

    names: tuple[str, ...]
    find: Callable[[], tuple[list[list[str]], list[str]]]
    missing: Callable[[str | None, list[str]], Refusal]
    answers: Callable[[dict[str, Any]], Iterator[dict[str, Any]]]
    by_default: bool = True
    times_operators: bool = False
