# SPDX-License-Identifier: Apache-2.0
"""The agent that runs on Linux boards; `PROTOCOL.md` beside it is what it speaks."""
