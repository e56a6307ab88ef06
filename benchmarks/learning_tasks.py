"""What must be learned: every task of learning.py, by the table that it stands in.

To add one, add an entry; ``make bench-learning ARGS="--tasks NAME"`` trains it and draws its table again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """A score to compare with: what others publish, or what the best policy gets."""

    mean: float
    of: str  # whose, or after how many steps
    std: float | None = None  # None: a single number

    def __str__(self) -> str:
        return f"{self.mean:g}{'' if self.std is None else f' ± {self.std:g}'} ({self.of})"


@dataclass(frozen=True, slots=True)
class Task:
    """What to train, and what `needed` of the seeds must reach."""

    overrides: tuple[str, ...]  # of `a2c train`
    floor: float  # of the final score
    aim: float  # what we hope for
    seeds: range = range(5)
    needed: int = 4
    episodes: int = 20  # of the final score
    digits: int = 1  # of scores in the table
    known: Known | None = None
    idle: int | None = None  # the discrete action that does nothing


@dataclass(frozen=True, slots=True)
class Table:
    """Tasks with one table, one picture and one file of results; the names of tasks differ in all of them."""

    tasks: Mapping[str, Task]
    known: str  # the heading of `Task.known`
    curve: str  # the name of its line in the picture
    more: bool  # columns for aim, steps to the floor and episodes
    document: str  # where it stands, behind a comment with its name
    untrained: bool = False  # columns for the random policy and for doing nothing


PRESETS = {
    "cartpole": Task(("env=cartpole",), 475, 500, range(10), 10, 100, known=Known(500, "0.5M", 0)),
    "cartpole ac": Task(("env=cartpole_study", "algo=ac"), 475, 500, known=Known(500, "0.5M", 0)),
    "cartpole a3c": Task(("env=cartpole_study", "algo=a3c", "num_workers=4"), 475, 500, known=Known(500, "0.5M", 0)),
    "acrobot": Task(("env=acrobot",), -84, -80, episodes=100, known=Known(-83.4, "0.5M", 17), idle=1),
    "mountaincar": Task(
        ("env=mountaincar",), -112, -105, range(100, 105), episodes=100, known=Known(-111.3, "1M", 24), idle=1
    ),
    "pendulum": Task(("env=pendulum",), -170, -150, episodes=100, known=Known(-163, "1M", 103)),
    "lunarlander": Task(("env=lunarlander",), 180, 230, episodes=100, known=Known(155.8, "0.2M, v2", 80), idle=0),
}


def untuned(env: str, steps: str) -> tuple[str, ...]:
    """Nothing is given but where, and for how long."""
    return (f"env.id={env}", f"total_steps={steps}", f"eval.every={int(steps) // 20:_}")


MILLION = "1_000_000"
CONTROL = {
    "mountaincar, continuous": Task(
        ("env=mountaincar_continuous",), 90, 94, range(100, 105), episodes=100, known=Known(91, "0.1M")
    ),  # its search had seeds 1 to 3
    "mountaincar, continuous, untuned": Task(
        untuned("MountainCarContinuous-v0", "100_000"), 90, 94, needed=0, episodes=100, known=Known(91, "0.1M")
    ),
    "lunarlander, continuous": Task(
        untuned("LunarLanderContinuous-v3", MILLION), 120, 220, episodes=100, known=Known(84, "5M, v2")
    ),
    "bipedalwalker": Task(untuned("BipedalWalker-v3", "5_000_000"), 200, 300, range(3), 3, known=Known(300, "5M")),
    "halfcheetah": Task(untuned("HalfCheetah-v5", MILLION), 2500, 4500, digits=0, known=Known(3041, "gSDE, v3")),
    "hopper": Task(untuned("Hopper-v5", MILLION), 1100, 2000, digits=0, known=Known(1253, "v3")),
    "walker2d": Task(untuned("Walker2d-v5", MILLION), 900, 1500, digits=0, known=Known(1092, "v3")),
    "swimmer": Task(("env=swimmer",), 100, 250, range(100, 103), 3, known=Known(200, "v3")),
    "reacher": Task(untuned("Reacher-v5", MILLION), -7, -5, range(3), 3, known=Known(-6.7, "v2")),
    "double pendulum": Task(
        untuned("InvertedDoublePendulum-v5", MILLION), 8500, 9300, range(3), 3, digits=0, known=Known(9258, "v2")
    ),
    "ant": Task(untuned("Ant-v5", MILLION), 1500, 3000, range(3), 3, digits=0, known=Known(3485, "v3")),
}

KNIGHT = (
    "env.id=knight:Knight-v0",  # benchmarks/knight.py
    "algo=a2c_paper",
    "total_steps=300_000",
    "num_envs=32",
    "n_step=16",
    "gamma=1",
    "gae_lambda=0.95",
    "beta=0.05",  # more than 0.01 does better without masks
    "beta_schedule=linear",
    "optimizer=adam",
    "lr=2e-3",
    "lr_schedule=linear",
    "normalize_advantage=true",
    "normalize_reward=true",
    "eval.every=10_000",
)
GOLF = (
    "env.id=golf:Golf-v0",  # benchmarks/golf.py
    "algo=a2c_paper",
    "total_steps=300_000",
    "num_envs=32",
    "n_step=16",
    "gamma=0.98",
    "gae_lambda=0.95",
    "beta=0.005",
    "beta_schedule=linear",
    "optimizer=adam",
    "lr=2e-3",
    "lr_schedule=linear",
    "normalize_advantage=true",
    "normalize_obs=true",
    "normalize_reward=true",
    "policy.distribution=beta",  # a Gaussian's mean drifts beyond the strongest swing, and does not come back
    "eval.every=20_000",
    "eval.episodes=100",
)
SWING_UP = (  # tuned for a Gaussian
    "env.id=Pendulum-v1",
    "algo=a2c_paper",
    "total_steps=1_000_000",
    "num_envs=8",
    "n_step=16",
    "gamma=0.95",
    "gae_lambda=0.95",
    "beta=0",
    "optimizer=adam",
    "lr=5e-4",
    "lr_schedule=linear",
    "normalize_advantage=true",
    "normalize_reward=true",
    "network.activation=relu",
    "eval.every=50_000",
    "eval.episodes=30",
)
LAKE_OF_100_STEPS = (
    "env=frozenlake",
    "env.id=FrozenLake-v1",
    "env.kwargs={map_name: 8x8}",
    "gamma=0.98",  # with 0.995 the best way is too long for 100 steps
)
# Sums of the environments' own probabilities, by dynamic programming; nobody plays better than by these.
LAKE, SHORT_LAKE, TAXI = Known(0.913, "optimal"), Known(0.641, "optimal"), Known(7.93, "optimal")
CLIFF, BLACKJACK, TOUR = Known(-13, "optimal"), Known(-0.0466, "optimal"), Known(24, "optimal")
CADDIE, PENDULUM = Known(-2.44, "by rule"), Known(-163, "RL Zoo A2C", 103)
SPACES = {
    "frozenlake": Task(("env=frozenlake",), 0.6, 0.85, episodes=1000, digits=3, known=LAKE),
    "frozenlake, 100 steps": Task(LAKE_OF_100_STEPS, 0.6, 0.64, episodes=1000, digits=3, known=SHORT_LAKE),
    "cliffwalking": Task(("env=cliffwalking",), -17, -13, known=CLIFF),
    "blackjack": Task(("env=blackjack",), -0.06, -0.047, episodes=100_000, digits=4, known=BLACKJACK),
    "taxi": Task(("env=taxi",), 7, 7.9, episodes=200, digits=2, known=TAXI),
    "taxi, no masks": Task(("env=taxi", "env.masks=off"), 7, 7.9, needed=0, episodes=200, digits=2, known=TAXI),
    "knight": Task(KNIGHT, 20, 24, episodes=200, known=TOUR),
    "knight, no masks": Task((*KNIGHT, "env.masks=off"), 20, 24, needed=0, episodes=200, known=TOUR),
    "golf": Task(GOLF, -3, -2.5, episodes=200, digits=2, known=CADDIE),
    # They differ in nothing else.
    "pendulum, gaussian": Task((*SWING_UP, "policy.distribution=gaussian"), -250, -163, known=PENDULUM),
    "pendulum, squashed": Task((*SWING_UP, "policy.distribution=squashed"), -250, -163, known=PENDULUM),
    "pendulum, beta": Task((*SWING_UP, "policy.distribution=beta"), -250, -163, known=PENDULUM),
    "pendulum, gsde": Task((*SWING_UP, "policy.distribution=gsde"), -250, -163, known=PENDULUM),
}

# A reward at the end, for the turn there: all that came before is noise to the advantage, which lambda keeps short.
# n_step is three corridors, so that most of them lie within one rollout, and with it within the reach of gradients.
T_MAZE = (
    *(
        "env.id=t_maze:LongTMaze-v0",
        "algo=a2c_paper",
        "total_steps=400_000",
        "num_envs=8",
        "n_step=64",
        "gae_lambda=0.8",
    ),
    *("normalize_advantage=true", "optimizer=adam", "lr=2e-3", "lr_schedule=linear"),
)
POSITIONS = (
    *(
        "env.id=cartpole_views:PositionCartPole-v1",
        "algo=a2c_paper",
        "total_steps=200_000",
        "num_envs=8",
        "n_step=32",
        "beta=0",
    ),
    *("gae_lambda=0.95", "normalize_advantage=true", "normalize_obs=true", "normalize_reward=true"),
    *("optimizer=adam", "lr=2e-3", "lr_schedule=linear"),
)
LSTM, GRU = "network.memory=lstm", "network.memory=gru"

# Without a memory nothing is needed: the row shows how far one gets without.
MEMORY = {
    "minigrid empty": Task(("env=minigrid_empty",), 0.95, 0.96, episodes=100, digits=3, known=Known(0.961, "optimum")),
    "minigrid doorkey": Task(("env=minigrid_doorkey",), 0.93, 0.96, episodes=100, digits=3),
    "minigrid memory": Task(("env=minigrid_memory",), 0.9, 0.96, range(3), 3, 100, digits=3),
    "t-maze lstm": Task((*T_MAZE, LSTM), 1, 1, episodes=200, digits=3, known=Known(1, "optimum")),
    "t-maze gru": Task((*T_MAZE, GRU), 1, 1, episodes=200, digits=3, known=Known(1, "optimum")),
    "t-maze mlp": Task(T_MAZE, 1, 1, needed=0, episodes=200, digits=3, known=Known(0.5, "optimum without a memory")),
    "cartpole positions gru": Task((*POSITIONS, GRU), 450, 500),
    "cartpole positions mlp": Task(POSITIONS, 450, 500, needed=0),
}

TABLES = {
    "learning": Table(
        PRESETS, known="RL Zoo A2C (steps)", curve="RL Zoo", more=False, document="README.md", untrained=True
    ),
    "learning_control": Table(
        CONTROL,
        known="published A2C",
        curve="published A2C",
        more=True,
        document="docs/defaults.md",
        untrained=True,
    ),
    "learning_spaces": Table(
        SPACES, known="best known", curve="best known", more=True, document="docs/environments.md"
    ),
    "learning_memory": Table(
        MEMORY, known="best possible", curve="best possible", more=True, document="docs/environments.md"
    ),
}
TASKS = {name: task for table in TABLES.values() for name, task in table.tasks.items()}
