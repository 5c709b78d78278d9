# SPDX-License-Identifier: Apache-2.0
"""What the agent answers instead of doing what was asked."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818  an answer, not a fault
    """An answer of the kind "error"."""

    def __init__(self, kind: str, message: str, **fields: object) -> None:
        super().__init__(message)
        self.answer = dict(fields, kind=kind, message=message)


def refused(what: str, error: Exception) -> Refusal:
    """What a runtime raised. It may complain of every tensor, so the host shortens `said`."""
    said = " ".join(str(error).split())
    message = f"the runtime {what}: {said}: convert it anew, or try another --runtime"
    return Refusal("inference", message, reason="refused", said=said)
