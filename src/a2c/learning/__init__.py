"""Learning from rollouts: the update, its optimizers, its metrics."""
