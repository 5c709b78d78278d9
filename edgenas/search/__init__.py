"""Searching the space: exact dynamic programs, templates, and the strategies behind one Protocol."""

from edgenas.search.halving import halving

STRATEGIES = {"halving": halving}

__all__ = ["STRATEGIES"]
