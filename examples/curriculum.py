"""Make the environment harder as the policy gets better: the wind in CartPole rises with the return.

python examples/curriculum.py

A run that is stopped goes on exactly where it was: the calls are made again, each between the same two steps.
"""

import sys

import gymnasium as gym

import a2c


class Wind(gym.Wrapper):
    """Pushes the cart to the right, the harder the higher the level."""

    level = 0

    def set_level(self, level: int) -> None:
        self.level = level  # at once, in the middle of episodes; a reset could apply it to the next one instead

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        state = list(self.unwrapped.state)
        state[1] += 0.02 * self.level  # its velocity
        self.unwrapped.state = tuple(state)
        return obs, reward, terminated, truncated, {**info, "level": self.level}


gym.register("WindyCartPole-v0", lambda **kwargs: Wind(gym.make("CartPole-v1", **kwargs)))


class Curriculum:
    """Raises the level with every report whose episodes were long enough."""

    def __init__(self) -> None:
        self.level = 0

    def __call__(self, progress: a2c.Progress) -> dict[str, float]:
        lengths = [episode.length for episode in progress.episodes]  # those since the last report
        if lengths and sum(lengths) / len(lengths) > 20 and self.level < 5:
            self.level += 1
            progress.call("set_level", self.level)  # in all training environments, in whatever process they run
        return {"level": self.level}

    def state_dict(self) -> dict[str, int]:
        return {"level": self.level}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.level = state["level"]


if __name__ == "__main__":
    settings = ["env.id=WindyCartPole-v0", "total_steps=50_000", "log_info=[level]", "gif=false", "wandb.mode=disabled"]
    summary = a2c.train(a2c.load_config(*settings, *sys.argv[1:]), on_report=Curriculum())
    print(
        f"{summary.eval_mean:.1f} +- {summary.eval_std:.1f} without wind"
    )  # evaluations have environments of their own
