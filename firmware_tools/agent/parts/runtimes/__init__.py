# SPDX-License-Identifier: Apache-2.0
"""What runs models: one module for each kind of runtime, and a line of the registry."""
