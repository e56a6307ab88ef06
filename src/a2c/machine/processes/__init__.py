"""Worker processes of any kind: they start quickly, end with the main process, and a dead one is noticed at once."""
