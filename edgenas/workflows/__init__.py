# SPDX-License-Identifier: Apache-2.0
"""One workflow each: short, they only connect the rooms below. `import edgenas` offers them by name."""
