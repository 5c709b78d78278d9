# SPDX-License-Identifier: Apache-2.0
"""The version, in a module of its own: whoever needs it must not load the package's commands."""

__version__ = "0.1.0"
