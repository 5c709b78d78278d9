# SPDX-License-Identifier: Apache-2.0
"""What a TFLite graph becomes on the engine: one module for each family of operators."""
