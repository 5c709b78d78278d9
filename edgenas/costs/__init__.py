# SPDX-License-Identifier: Apache-2.0
"""Costs of an architecture without running it: MACs, bytes of flash, and bytes of RAM as each runtime plans it."""
