# SPDX-License-Identifier: Apache-2.0
"""The space as torch modules: single networks, and all of them at once with shared weights."""
