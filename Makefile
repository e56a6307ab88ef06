# `make help` explains the targets. Anything written as key=value goes on to the program:
#     make train env=pong n_step=20 device=cuda
#     make train ARGS="-m seed=1,2,3"

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
PYTHON ?= python3
ARGS =
RUN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
# A process for each core that is ours, none more where that is one; tests/conftest.py has the number.
PYTEST := $(RUN)/python -m pytest -n auto --dist worksteal

# What was typed on make's command line, less make's own settings, each quoted for the shell. The
# environment is not looked at ($SHELL or $NAME there mean something else), nothing in a value is expanded.
OWN := ARGS PYTHON VENV MAKEFLAGS MAKEOVERRIDES SHELL OWN TYPED OVERRIDES RUN READY PEERS PYTEST
TYPED := $(foreach v,$(filter-out $(OWN),$(.VARIABLES)),$(if $(filter command,$(firstword $(origin $(v)))),$(v)))
OVERRIDES = $(foreach v,$(TYPED),'$(v)=$(subst ','\'',$(value $(v)))')
unexport ARGS $(TYPED)

.PHONY: help setup train eval watch runs show compare sweep study board sync test test-long test-fast soak lint format types bench-learning bench
.PHONY: bench-envs bench-envpool bench-scaling bench-precision bench-refactor bench-costs bench-time bench-defaults bench-evaluation bench-sweep bench-ranks
.PHONY: bench-gpu gallery clean

help:  ## explain the targets
	@echo "make TARGET [key=value ...] [ARGS=\"...\"]"; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo; echo "Every setting and preset: make train ARGS=--help"

train: $(READY)  ## train an agent, CartPole unless told: make train env=pong n_step=20 device=cuda
	@$(RUN)/a2c train $(OVERRIDES) $(ARGS)

eval: $(READY)  ## score a trained agent: make eval run=latest episodes=20
	@$(RUN)/a2c eval $(OVERRIDES) $(ARGS)

watch: $(READY)  ## see it play: a GIF, or a window with render=human
	@$(RUN)/a2c watch $(OVERRIDES) $(ARGS)

runs: $(READY)  ## list runs, with state and score: make runs ARGS="'runs/CartPole-v1/*'"
	@$(RUN)/a2c runs $(OVERRIDES) $(ARGS)

show: $(READY)  ## one run: its settings, score, checkpoints, and how to go on with it: make show run=latest
	@$(RUN)/a2c show $(OVERRIDES) $(ARGS)

compare: $(READY)  ## runs over their seeds, a table and a picture: make compare run=runs/CartPole-v1
	@$(RUN)/a2c compare $(OVERRIDES) $(ARGS)

sweep: $(READY)  ## search settings on this machine: make sweep file=conf/sweep/lunarlander.yaml trials=30 seeds=3
	@$(RUN)/a2c sweep $(OVERRIDES) $(ARGS)

study: $(READY)  ## measure what the article claims: make study claims=[lag,entropy] seeds=10 scale=2
	@$(RUN)/a2c study $(OVERRIDES) $(ARGS)

board: $(READY)  ## terminal dashboard over all runs, live, without an account
	@$(RUN)/wandb leet runs/wandb

sync: $(READY)  ## upload the offline runs to W&B
	@WANDB_DIR=runs $(RUN)/wandb sync --yes $(ARGS)

test: $(READY)  ## the whole test suite: make test ARGS="-k returns"
	@$(PYTEST) -m "not long" $(ARGS)

test-long: $(READY)  ## whole runs stopped, killed and hurt in every way there is, about ten minutes
	@$(RUN)/python -m pytest -n 2 --dist worksteal -m long $(ARGS)

test-fast: $(READY)  ## the tests that take no more than a few seconds each
	@$(PYTEST) -m "not slow and not long" $(ARGS)

soak: $(READY)  ## 100 stops and 30 minutes of faults, an hour in all: SOAK_STOPS=20 SOAK_MINUTES=5 make soak
	@$(RUN)/python -m pytest -m soak -n 0 -s tests/soak $(ARGS)

lint: $(READY)  ## style: ruff
	@$(RUN)/ruff check . && $(RUN)/ruff format --check .

format: $(READY)  ## put the style right where a program can
	@$(RUN)/ruff check --fix . ; $(RUN)/ruff format .

types: $(READY)  ## types: mypy --strict
	@$(RUN)/mypy

bench-learning: $(READY)  ## how well it learns, what is not stored yet: ARGS="--tasks taxi --again"
	@$(RUN)/python benchmarks/learning.py $(ARGS)

gallery: $(READY)  ## docs/presets.md anew; trains each preset that has no picture there
	@$(RUN)/python benchmarks/gallery.py $(ARGS)

bench: $(PEERS)  ## how fast we train beside Stable-Baselines3: make bench ARGS="--works cartpole-16"
	@$(RUN)/python benchmarks/speed.py $(ARGS)

bench-envs: $(READY)  ## our vector environment beside Gymnasium's
	@$(RUN)/python benchmarks/vector_environment.py $(ARGS)

bench-envpool: $(READY)  ## environments alone, EnvPool's beside ours; pip install -e ".[envpool]" first
	@$(RUN)/python benchmarks/envpool_speed.py $(ARGS)

bench-scaling: $(READY)  ## what a step costs with more environments, longer rollouts, larger networks
	@$(RUN)/python benchmarks/scaling.py $(ARGS)

bench-precision: $(READY)  ## does bf16 learn as well as float32: make bench-precision ARGS="--works catch"
	@$(RUN)/python benchmarks/precision.py $(ARGS)

bench-refactor: $(READY)  ## as fast as another checkout? make bench-refactor ARGS="--before ../before"
	@$(RUN)/python benchmarks/before_after.py $(ARGS)

bench-costs: $(READY)  ## what a memory, and observations of several parts, cost
	@$(RUN)/python benchmarks/costs.py $(ARGS)

bench-time: $(READY)  ## seconds from the start of a training of CartPole to a score of 475
	@$(RUN)/python benchmarks/cartpole_time.py $(ARGS)

bench-defaults: $(READY)  ## which settings learn most environments untuned: hours of one core
	@$(RUN)/python benchmarks/defaults.py $(or $(ARGS),confirm)

bench-evaluation: $(READY)  ## what evaluation in a process of its own saves, CartPole from start to end
	@$(RUN)/python benchmarks/evaluation_apart.py $(ARGS)

bench-sweep: $(READY)  ## half an hour of a sweep that is killed on the way, against a preset: CartPole with a longer pole
	@$(RUN)/python benchmarks/sweep_demo.py $(ARGS)

bench-ranks: $(READY)  ## what ranks cost: two of them against two runs, torchrun, deterministic_ranks
	@$(RUN)/python benchmarks/rank_speed.py $(ARGS)

bench-gpu: $(PEERS)  ## the first hour on a GPU; make bench-gpu ARGS=--dry-run tries it on the CPU
	@$(RUN)/python benchmarks/gpu.py $(ARGS)

setup: $(READY)  ## create .venv (any other target does so when needed)

clean:  ## remove .venv and what tools left; runs/ stays
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made again only when what it is made from has changed.
$(READY): pyproject.toml constraints.txt scripts/setup.sh
	@scripts/setup.sh $(PYTHON) $(VENV)
	@touch $@

# What only benchmarks need. Where it cannot be had, they say so in their results and measure the rest.
$(PEERS): $(READY)
	@echo "setup: installing what we are measured beside"
	@$(RUN)/python -m pip install --quiet -c $(VENV)/constraints.txt -e ".[peers]" --no-build-isolation && touch $@ || \
	    echo "setup: not all of it could be installed; the benchmarks go on without" >&2
