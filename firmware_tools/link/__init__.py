# SPDX-License-Identifier: Apache-2.0
"""The serial wire to a microcontroller: byte pipes, frames, messages and the session over them (PROTOCOL.md)."""
