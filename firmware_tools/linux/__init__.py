"""Devices that run an operating system with Python: the agent's session and the ways to start an agent."""
