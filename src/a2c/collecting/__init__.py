"""Collecting rollouts: act, step the environments, write down what happens."""
