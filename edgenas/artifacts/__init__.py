# SPDX-License-Identifier: Apache-2.0
"""Artifacts: a model with its manifest and golden inputs."""
