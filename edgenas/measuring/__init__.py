# SPDX-License-Identifier: Apache-2.0
"""An open connection to one board: probe models, timings, and what is recorded of them."""
