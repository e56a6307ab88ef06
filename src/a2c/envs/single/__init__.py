"""Make one environment as the learner sees it: look it up, make it, wrap it."""
