"""Examine an environment before a long run: play it at random, and say what would make training fail or learn badly."""
