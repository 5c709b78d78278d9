# SPDX-License-Identifier: Apache-2.0
"""What tests share: boards, servers, networks and adversaries. Benchmarks use them, too."""
