"""Runs that have been: found, read, grouped by their settings, compared. Nothing here waits for torch."""
