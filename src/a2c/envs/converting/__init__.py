"""Spaces of every kind, as the few that the trainer works with."""
