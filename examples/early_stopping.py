"""End a run once its evaluations have stopped getting better, and keep a checkpoint of every new best.

python examples/early_stopping.py
"""

import sys

import a2c


class Patience:
    """Ends the run after ``most`` evaluations in a row that were no better than the best before them.

    Its two numbers go into every checkpoint, so that a resumed run goes on counting.
    """

    def __init__(self, most: int) -> None:
        self.most, self.best, self.waited = most, float("-inf"), 0

    def __call__(self, progress: a2c.Progress) -> dict[str, float]:
        score = progress.metrics.get("eval/mean_reward")  # only where this report comes with an evaluation
        if score is not None and score > self.best:
            self.best, self.waited = score, 0
            progress.save(f"score-{score:.0f}")
        elif score is not None:
            self.waited += 1
        if self.waited == self.most:
            progress.stop(f"no better than {self.best:.1f} for {self.most} evaluations")
        return {"waited": self.waited}  # logged as callback/waited

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.best, self.waited = state["best"], int(state["waited"])


if __name__ == "__main__":
    # The command line's settings, and any further ones: python examples/early_stopping.py seed=2
    cfg = a2c.load_config("env=cartpole", "eval.every=5_000", "wandb.mode=disabled", *sys.argv[1:])
    summary = a2c.train(cfg, on_report=Patience(most=3))
    print(summary.ended or "it trained to its end", f"at {summary.env_steps:,} steps")
