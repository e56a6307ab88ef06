"""Collecting rollouts: act, step the environments, record what happens."""
