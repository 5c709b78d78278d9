"""The one-file agent that runs on the device; `PROTOCOL.md` beside it is what it speaks."""

from __future__ import annotations

from pathlib import Path

AGENT_PATH = Path(__file__).resolve().parent / "agent.py"
