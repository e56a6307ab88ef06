#!/usr/bin/env python3
"""docs/presets.md anew: trains every preset that has no picture yet, and shows how its agent plays.

    make gallery                                      # half an hour of one core, if there is none
    make gallery ARGS="--presets taxi --again"        # one, trained and filmed anew
    make gallery ARGS="--film pong runs/latest"       # of a run that has been trained
    make gallery ARGS="--presets"                     # the page alone

The pictures are small, so that the page opens fast: of an episode that is too long they show the beginning.
"""

from __future__ import annotations

import argparse
from itertools import count
from pathlib import Path

import numpy as np
from presets_page import PICTURES, STUDY, names, write_page

import a2c
from a2c.playing.episode import play_episode
from a2c.run.showing.gif import record_gif
from learning import trained

WIDTH = 240  # pixels
FRAMES = 120
SECONDS = 12  # of play; several episodes where one is shorter
# Only where they are named: hours of training, or the picture of another preset again.
APART = ("pong", "breakout", "cartpole_device")


def film(name: str, run: Path) -> None:
    """Write the picture of a preset from the best checkpoint of a run."""
    policy = a2c.load_policy(run)
    frames: list[np.ndarray] = []
    for seed in count(1):
        played, fps, score = play_episode(policy, seed)
        print(f"{name}, seed {seed}: {score:g} in {len(played)} frames", flush=True)
        frames += played
        if len(frames) >= SECONDS * fps:
            break
    PICTURES.mkdir(parents=True, exist_ok=True)
    shown = frames[: int(SECONDS * fps)]
    print(record_gif(shown, PICTURES / f"{name}.gif", fps, max_frames=FRAMES, max_width=WIDTH))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    short = [name for name in names() if name not in APART and not name.endswith(STUDY)]
    parser.add_argument("--presets", nargs="*", choices=names(), default=short)
    parser.add_argument("--again", action="store_true", help="those that have a picture too")
    parser.add_argument("--film", nargs=2, metavar=("NAME", "RUN"), help="the picture of one run")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/gallery"))
    args = parser.parse_args()
    if args.film:
        film(args.film[0], Path(args.film[1]))
    else:
        for name in args.presets:
            if args.again or not (PICTURES / f"{name}.gif").exists():
                film(name, trained([f"env={name}", "seed=1"], f"gallery-{name}", args.runs_dir))
    write_page()


if __name__ == "__main__":
    main()
