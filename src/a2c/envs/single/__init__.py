"""One environment as the learner sees it: looked up, made, wrapped."""
