"""The commands of ``a2c``."""

from __future__ import annotations

COMMANDS = {  # name -> (module with run(arguments) -> exit code, what it does)
    "train": ("a2c.cli.train", "train an agent"),
    "eval": ("a2c.cli.evaluate", "score a trained agent"),
    "watch": ("a2c.cli.watch", "see it play: a GIF, or a window with render=human"),
    "replay": ("a2c.cli.replay_dump", "repeat a numeric error from its dump, and see where it began"),
    "doctor": ("a2c.cli.doctor", "examine an environment before a long run"),
    "study": ("a2c.cli.study", "measure what the article on A2C claims, and write a report"),
}
