"""The commands of ``a2c``."""

from __future__ import annotations

COMMANDS = {  # name -> (module with run(arguments) -> exit code, what it does)
    "train": ("a2c.cli.train", "train an agent"),
    "eval": ("a2c.cli.evaluate", "score a trained agent"),
    "watch": ("a2c.cli.watch", "see it play: a GIF, or a window with render=human"),
    "runs": ("a2c.cli.list_runs", "list runs, with state and score"),
    "show": ("a2c.cli.show_run", "one run: its settings, score, checkpoints, and how to go on with it"),
    "compare": ("a2c.cli.compare_runs", "compare groups of runs over their seeds: a table and a picture"),
    "sweep": ("a2c.cli.sweep", "search settings on this machine, by the file that wandb sweep takes"),
    "replay": ("a2c.cli.replay_dump", "repeat a numeric error from its dump, and see where it began"),
    "doctor": ("a2c.cli.doctor", "examine an environment before a long run"),
    "study": ("a2c.cli.study", "measure what the article on A2C claims, and write a report"),
}
