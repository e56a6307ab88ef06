"""A trained policy: acting in any loop, and whole episodes scored."""
