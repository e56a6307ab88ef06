"""Files of a run: checkpoints, metrics, folders, each written whole or not at all."""
