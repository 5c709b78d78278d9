"""Boards: their facts, and where the user's own are."""
