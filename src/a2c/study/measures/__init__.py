"""Mathematics of the measurements: pure functions, one topic a file."""
