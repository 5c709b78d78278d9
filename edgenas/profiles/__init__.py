# SPDX-License-Identifier: Apache-2.0
"""Board profiles: measurements, what they say together, and the latency model fitted on them."""
