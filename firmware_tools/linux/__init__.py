# SPDX-License-Identifier: Apache-2.0
"""Devices that run an operating system with Python: the agent's session and the ways to start an agent."""
