"""Sweeps on one's own machine: the file that ``wandb sweep`` takes, searched by Optuna, with a journal on disk."""
