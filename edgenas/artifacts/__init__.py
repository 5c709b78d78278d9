"""Artifacts: a model with its manifest and golden inputs."""
