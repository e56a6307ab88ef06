"""Rebuild episodes in flight, after a stop or a crash, by playing them again."""
