"""A run and everything around its loop: what is due, shown, tracked, saved and drawn."""
