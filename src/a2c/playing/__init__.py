"""A trained policy: act in any loop, and score whole episodes."""
