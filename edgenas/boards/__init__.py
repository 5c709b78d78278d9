# SPDX-License-Identifier: Apache-2.0
"""Boards: their facts, and where the user's own are."""
