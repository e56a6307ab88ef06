"""Environments that a program hands over: their names, and what may be found by a name."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest

import own_toys
from a2c.envs.single.make_env import make_env
from a2c.envs.single.own import found_in_module, known, name_of
from a2c.envs.single.registry import find_spec
from a2c.errors import ConfigError
from a2c.machine.processes.launch import Registered
from envs.configs import env_config
from registrations import forgetting_own

Local, local = own_toys.made_here()


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What a test makes known is forgotten afterwards."""
    with forgetting_own():
        yield gym.registry


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (own_toys.Walk, "own_toys:Walk"),
        (own_toys.wide, "own_toys:wide"),
        (Local, "own_toys:made_here.<locals>.Local"),
        (local, "own_toys:made_here.<locals>.<lambda>"),
        (functools.partial(own_toys.Walk, width=9), "functools:<partial>"),  # own_toys:Walk would be another one
        (functools.wraps(own_toys.Walk)(lambda: own_toys.Walk(9)), "own_toys:<Walk>"),
        (gym.vector.SyncVectorEnv([own_toys.Walk]), "gymnasium.vector.sync_vector_env:<SyncVectorEnv>"),
    ],
)
def test_a_name_without_brackets_is_one_that_an_import_finds(thing: Any, name: str) -> None:
    assert name_of(thing) == name
    if "<" not in name:
        module, _, attribute = name.partition(":")
        assert getattr(sys.modules[module], attribute) is thing


@pytest.mark.parametrize(
    "thing", [own_toys.Walk, own_toys.wide, Local, local, functools.partial(own_toys.Walk, width=4)]
)
def test_what_is_known_is_made_like_any_other(thing: Any) -> None:
    env = make_env(env_config(known(thing), width=7))
    assert env.unwrapped.width == 7  # type: ignore[attr-defined]
    assert isinstance(env.unwrapped, own_toys.Walk)


def test_a_class_is_found_by_its_name_in_its_module_and_always_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_env(env_config("own_toys:Walk")).unwrapped.__class__ is own_toys.Walk
    assert find_spec("own_toys:make").entry_point is own_toys.wide
    monkeypatch.setattr(own_toys, "Walk", Local)  # a notebook loads it again
    assert make_env(env_config("own_toys:Walk")).unwrapped.__class__ is Local


def test_what_a_program_handed_over_another_session_has_to_be_given_again(registry: dict[str, Any]) -> None:
    env_id = known(local)
    del registry[env_id]
    with pytest.raises(ConfigError) as raised:
        find_spec(env_id)
    assert str(raised.value) == (
        "config error: env.id=own_toys:made_here.<locals>.<lambda> was handed over by a program; do that again "
        "(env= in Python), or name where it is defined: env.id=module:Name"
    )
    with pytest.raises(ConfigError, match="handed over by a program"):
        find_spec("__main__:NoSuchEnv")


@pytest.mark.parametrize("name", ["__main__:sys.exit", "__main__:os.system", "a2c.storage.atomic:write_text"])
def test_where_nobody_was_asked_for_trust_nothing_but_an_environment_is_called(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import a2c.storage.atomic

    main = types.ModuleType("__main__")
    main.sys, main.os = sys, a2c.storage.atomic.os  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert found_in_module(name) is None


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (own_toys.Walk(), "must be a class or a function that makes a gymnasium.Env: several are made"),
        ("CartPole-v1", "must be a class or a function that makes a gymnasium.Env"),
        (dict, "env=dict is no gymnasium.Env"),
        (gym.vector.SyncVectorEnv, "env=SyncVectorEnv is no gymnasium.Env"),
    ],
)
def test_what_makes_no_environment_is_refused_in_a_line(thing: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        known(thing)


def test_a_function_that_gives_something_else_is_refused_in_a_line() -> None:
    with pytest.raises(Exception, match=r"must inherit from the gymnasium.Env class, actual class: <class 'int'>"):
        make_env(env_config(known(lambda: 5)))  # type: ignore[arg-type, return-value]


def test_what_cannot_be_pickled_says_so_where_it_is_missing(registry: dict[str, Any]) -> None:
    lock = __import__("threading").Lock()
    env_id = known(lambda: (lock, own_toys.Walk())[1])
    told = Registered()
    del registry[env_id]
    told.register()  # as a worker does
    with pytest.raises(ConfigError, match=r"cannot be sent to another process: .*_thread.lock"):
        make_env(env_config(env_id))
