"""Composition: what the YAML, a preset and overrides become, and what is refused in one line."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from omegaconf import OmegaConf

from a2c.errors import A2CError, CheckpointError, ConfigError
from a2c.settings.compose import compose_plain, conf_dir, load_config, prepare_training, presets
from a2c.settings.config import Config
from a2c.settings.hydra_keys import KEYS as HYDRA_KEYS
from a2c.settings.overrides import parse, quote, written
from a2c.settings.resumed_settings import flatten
from a2c.settings.rules import validate
from a2c.settings.setting import settings
from a2c.settings.suggest import ALIASES
from a2c.storage.folders import env_folder, new_run

PRESETS = sorted(set(presets()) - {"custom"})
CHOICES = [(key, choice) for key, _, rule in settings(Config) for choice in rule.choices]

# override -> the whole line
REFUSED = {
    # unknown keys
    "gama=0.9": "unknown key 'gama'; did you mean 'gamma'?",
    "+typo=1": "unknown key 'typo'; a2c train --help lists them all",
    "++gama=1": "unknown key 'gama'; did you mean 'gamma'?",
    "_target_=os.system": "unknown key '_target_'; a2c train --help lists them all",
    "+env._target_=os.system": "unknown key 'env._target_'; did you mean 'env.restarts'?",
    "network.hiden_sizes=[8]": "unknown key 'network.hiden_sizes'; did you mean 'network.hidden_sizes'?",
    "env.atari.frameskip=4": "unknown key 'env.atari.frameskip'; did you mean 'env.atari.frame_skip'?",
    "activation=relu": "unknown key 'activation'; did you mean 'network.activation'?",
    "network={torsso: mlp}": "unknown key 'network.torsso'; did you mean 'network.torso'?",
    "hydra.runn=1": f"unknown key 'hydra.runn'; of Hydra's settings these are used here: {', '.join(HYDRA_KEYS)}",
    "+sweep=cartpole": "unknown key 'sweep'; did you mean 'seed'?",
    # names of other libraries
    "n_steps=5": "unknown key 'n_steps'; here it is called 'n_step'",
    "ent_coef=0": "unknown key 'ent_coef'; here it is called 'beta'",
    "n_envs=4": "unknown key 'n_envs'; here it is called 'num_envs'",
    "learning_rate=1": "unknown key 'learning_rate'; here it is called 'lr'",
    "total_timesteps=1": "unknown key 'total_timesteps'; here it is called 'total_steps'",
    "vf_coef=1": "unknown key 'vf_coef'; here it is called 'value_coef'",
    "env_id=Pong": "unknown key 'env_id'; here it is called 'env.id'",
    "batch_size=64": "unknown key 'batch_size'; a batch is num_envs x n_step",
    "n_epochs=4": "unknown key 'n_epochs'; A2C makes one update per rollout",
    # presets
    "env=cartpol": f"unknown preset env=cartpol; did you mean 'cartpole'? Presets: {', '.join(presets())}",
    "env=CartPole-v1": "env=CartPole-v1 is not a preset; choose an environment with env.id=CartPole-v1",
    "env=custom": "env.id has no value; add env.id=...",
    "~env": f"unknown preset env=null; any environment: env.id=ANY Presets: {', '.join(presets())}",
    # how it is written
    "n_step": "cannot read 'n_step'; write key=value",
    "n step=1": "cannot read 'n step=1'; write key=value",
    "~gamma": "~gamma: a setting cannot be deleted; write gamma=null where null is allowed",
    "env@network=cartpole": "cannot read 'env@network=cartpole'; write env=..., packages (@) are not used here",
    "seed=1,2": "seed=1,2 holds several values; -m trains once with each, [a,b] is a list",
    "n_step=${nope}": "Interpolation key 'nope' not found",
    # types
    "gamma=abc": "gamma='abc' must be a number (float)",
    "gamma=": "gamma='' must be a number (float)",
    "gamma=null": "gamma=null must be a number (float)",
    "gamma=None": "gamma='None' must be a number (float)",
    "gamma=true": "gamma=true must be a number (float)",
    "gamma=[0.9]": "gamma=[0.9] must be a number (float)",
    "gamma=nan": "gamma=nan must be finite",
    "lr=inf": "lr=inf must be finite",
    "max_grad_norm=inf": "max_grad_norm=inf must be finite; null switches it off",
    "n_step=2.5": "n_step=2.5 must be a whole number (int) or auto",
    "n_step=false": "n_step=false must be a whole number (int) or auto",
    "num_workers=two": "num_workers='two' must be a whole number (int) or null",
    "gif=1": "gif=1 must be true or false (bool)",
    "device=null": "device=null must be text (str)",
    "network.hidden_sizes=64": "network.hidden_sizes=64 must be a list, like [a,b], or auto",
    "network.hidden_sizes=[64,x]": "network.hidden_sizes[1]='x' must be a whole number (int)",
    "wandb=null": "wandb=null must be a mapping, like {key: value}",
    "env.kwargs=3": "env.kwargs=3 must be a mapping, like {key: value}",
    "lr=[1": "lr='[1' must be a number (float) or auto",
    # ranges
    "gamma=1.5": "gamma=1.5 must be in [0, 1]",
    "gae_lambda=-0.1": "gae_lambda=-0.1 must be in [0, 1]",
    "rmsprop_alpha=1": "rmsprop_alpha=1.0 must be in [0, 1)",
    "lr=0": "lr=0.0 must be > 0",
    "n_step=0": "n_step=0 must be >= 1",
    "seed=-1": "seed=-1 must be in [0, 2147483647]",
    "beta=-1": "beta=-1.0 must be >= 0",
    "optimizer=sgd": "optimizer='sgd' must be one of rmsprop_tf, rmsprop, adam",
    "device=gpu": "device='gpu' must be auto, cpu, cuda, cuda:1 or mps",
    "network.hidden_sizes=[8,0]": "network.hidden_sizes=[8, 0] must be >= 1",
    "name=../x": "name='../x' must be made of A-Z a-z 0-9 . _ - only, without '..'",
    "name=a..b": "name='a..b' must be made of A-Z a-z 0-9 . _ - only, without '..'",
    "name=a b": "name='a b' must be made of A-Z a-z 0-9 . _ - only, without '..'",
    "name=$(x)": "name='$(x)' must be made of A-Z a-z 0-9 . _ - only, without '..'",
    "env.id=a b": "env.id='a b' must be a Gymnasium id, like CartPole-v1 or ALE/Pong-v5, or my_module:MyEnv",
}


@pytest.mark.parametrize("override", REFUSED)
def test_a_wrong_override_is_told_in_one_line(override: str):
    with pytest.raises(ConfigError) as caught:
        load_config(override)
    assert str(caught.value) == f"config error: {REFUSED[override]}"


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_composes_and_holds_only_what_differs_from_the_base(preset: str):
    load_config(f"env={preset}")
    base = OmegaConf.to_container(OmegaConf.load(conf_dir() / "config.yaml"))
    delta = OmegaConf.to_container(OmegaConf.load(presets()[preset]))
    assert same_leaves(delta, base) == []


def same_leaves(delta: dict, base: dict) -> list[str]:
    same = []
    for key, value in delta.items():
        if isinstance(value, dict):
            same += [f"{key}.{inner}" for inner in same_leaves(value, base[key])]
        elif value == base[key]:
            same.append(key)
    return same


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_begins_with_its_command(preset: str):
    assert presets()[preset].read_text().splitlines()[:2] == ["# @package _global_", f"# make train env={preset}"]


@pytest.mark.parametrize("algo", sorted(presets(group="algo")))
def test_every_algorithm_composes_with_every_environment(algo: str):
    path = presets(group="algo")[algo]
    first, command = path.read_text().splitlines()[:2]
    assert first == "# @package _global_"
    assert f" algo={algo}" in command
    for preset in PRESETS:
        if "a3c" in algo and preset == "cartpole_device":  # workers learn on the CPU, in processes of their own
            with pytest.raises(ConfigError, match="vectorization=device does not go with algo=a3c"):
                load_config(f"env={preset}", f"algo={algo}")
            continue
        cfg = load_config(f"env={preset}", f"algo={algo}")
        delta = dict(flatten(OmegaConf.to_container(OmegaConf.load(path))))
        tree = dict(flatten(asdict(cfg)))
        assert {key: tree[key] for key in delta} == delta


def test_an_algorithm_is_chosen_once_and_the_command_line_has_the_last_word():
    assert load_config("algo=a3c_paper", "num_workers=2").num_workers == 2
    assert (load_config().algo, load_config("algo=ac").num_envs, load_config("algo=ac", "n_step=5").n_step) == (
        "a2c",
        1,
        5,
    )
    assert load_config("algo=a3c_paper").optimizer_eps == 0.1


def test_ac_acts_in_one_environment():
    with pytest.raises(ConfigError, match="num_envs=4 does not go with algo=ac"):
        load_config("algo=ac", "num_envs=4")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("device=cuda", "its workers learn on the CPU"),
        ("vectorization=workers", "a worker steps its environments itself"),
        ("compile=true", "the shared weights change"),
        ("profile=true", "it traces one process"),
    ],
)
def test_what_asynchronous_workers_cannot_do_is_said(setting: str, said: str):
    with pytest.raises(ConfigError, match=f"{setting} does not go with algo=a3c: {said}"):
        load_config("algo=a3c", setting)


@pytest.mark.parametrize(("key", "choice"), CHOICES)
def test_every_choice_composes(key: str, choice: str):
    cfg = load_config(f"{key}={choice}")
    assert {name: value for name, value, _ in settings(cfg)}[key] == choice


def test_every_setting_has_its_value_in_the_yaml_and_nowhere_else():
    tree = OmegaConf.to_container(OmegaConf.load(conf_dir() / "config.yaml"))
    assert isinstance(tree, dict)
    del tree["defaults"], tree["hydra"]
    assert tree.keys() == {key.split(".")[0] for key, _, _ in settings(Config)}
    with pytest.raises(TypeError):
        Config()  # no second home for a value


def test_every_number_has_a_range():
    free = {"env.kwargs", "env.wrappers", "env.reset_options", "wandb.entity", "wandb.group", "wandb.tags", "resume"}
    for key, hint, rule in settings(Config):
        if hint is not bool and hint != (bool | None) and key not in free:
            assert str(rule), key


def test_the_command_line_wins_over_the_preset_and_the_preset_over_the_base():
    base = load_config("env.id=Any-v0")
    preset = load_config("env=swimmer")
    both = load_config("env=swimmer", "gamma=0.5", "num_envs=3")
    tuned = OmegaConf.load(conf_dir() / "env" / "swimmer.yaml").gamma
    assert tuned != base.gamma
    assert (base.gamma, preset.gamma, both.gamma) == (0.99, tuned, 0.5)
    assert both == replace(preset, gamma=0.5, num_envs=3)


def test_an_environment_chosen_by_id_gets_no_preset():
    assert load_config("env.id=CartPole-v1") == load_config("env=custom", "env.id=CartPole-v1")
    assert load_config("env.id=CartPole-v1") != load_config("env=cartpole")
    assert load_config("env={id: CartPole-v1}") == load_config("env.id=CartPole-v1")


def test_a_preset_asked_for_by_name_serves_another_environment_of_its_kind():
    cfg = load_config("env=pong", "env.id=ALE/Qbert-v5")
    assert cfg == replace(load_config("env=pong"), env=replace(load_config("env=pong").env, id="ALE/Qbert-v5"))


def test_environment_arguments_are_free_and_need_no_plus():
    cfg = load_config("env.id=My-v0", "env.kwargs.size=5", "+env.kwargs.walls={left: [1, 2]}")
    assert cfg.env.kwargs == {"size": 5, "walls": {"left": [1, 2]}}


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("total_steps=1e6", "total_steps", 1_000_000),
        ("gamma=1", "gamma", 1.0),
        ("name=7", "name", "7"),
        ("max_grad_norm=None", "max_grad_norm", None),
        ("num_workers=null", "num_workers", None),
        ("normalize_obs=True", "normalize_obs", True),
        ("network.hidden_sizes=[]", "network.hidden_sizes", []),
        ("wandb.tags=['a b', 'c']", "wandb.tags", ["a b", "c"]),
        ("wandb.group=with a space (and more)", "wandb.group", "with a space (and more)"),
        ("wandb.group=it's", "wandb.group", "it's"),
        ("env.kwargs={'a': 1, 'b': [None, True]}", "env.kwargs", {"a": 1, "b": [None, True]}),
        ("env.id=my_pkg.my_env:MyEnv-v0", "env.id", "my_pkg.my_env:MyEnv-v0"),
        ("device=cuda:1", "device", "cuda:1"),
        ("seed=0", "seed", 0),
        ("eval={every: 5, episodes: 2}", "eval.every", 5),
    ],
)
def test_what_a_person_or_a_sweep_agent_writes_is_understood(override: str, key: str, value: object):
    found = {name: it for name, it, _ in settings(load_config(override))}[key]
    assert found == value
    assert type(found) is type(value)


def test_the_result_is_plain():
    def kinds(value: object) -> set[type]:
        if isinstance(value, dict):
            return {dict}.union(*map(kinds, value.values()))
        return {list}.union(*map(kinds, value)) if isinstance(value, list) else {type(value)}

    assert kinds(asdict(load_config("env.kwargs.a=[1,{b: 2}]"))) <= {dict, list, str, int, float, bool, type(None)}


def test_a_memory_stands_behind_one_torso():
    with pytest.raises(
        ConfigError, match=r"^config error: network\.shared_torso=false does not go with network\.memory=lstm"
    ):
        load_config("env=cartpole", "network.memory=lstm", "network.shared_torso=false")
    assert load_config("env=cartpole", "network.memory=gru", "network.shared_torso=true").network.memory == "gru"


def test_one_number_cannot_be_standardised():
    with pytest.raises(ConfigError, match="normalize_advantage=true needs"):
        load_config("num_envs=1", "n_step=1", "normalize_advantage=true")
    validate(load_config("num_envs=1", "n_step=2", "normalize_advantage=true"))


def test_aliases_point_at_settings_and_hide_none():
    known = {key for key, _, _ in settings(Config)}
    assert set(ALIASES.values()) <= known
    assert not set(ALIASES) & known


@pytest.mark.parametrize(
    "text", ["", "a", "it's", "back\\slash", "ends\\", "\\'", "a,b", "[x", "${y}", 'say "x"', "ä ö"]
)
def test_quoting_survives_hydra(text: str):
    if "$" not in text:  # an interpolation stays one
        assert parse(f"name={quote(text)}")[1].value() == text


def test_values_survive_hydra():
    value = {"a": [1, 2.5, None, True, "x y", {"b": "it's"}]}
    assert parse(f"env.kwargs={written(value)}")[1].value() == value


def test_yaml_that_cannot_be_read_names_file_and_line(tmp_path):
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "mine.yaml").write_text("# @package _global_\nenv:\n  id: [unclosed\n")
    overrides = prepare_training(["env=mine"], tmp_path)
    with pytest.raises(ConfigError, match=r"mine\.yaml line 4: "):
        compose_plain("config", overrides, tmp_path)


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match=r"Cannot find primary config 'nothing'"):
        compose_plain("nothing", [])


def test_runs_of_one_second_get_folders_of_their_own(tmp_path):
    folders = [new_run(tmp_path, "ALE/Pong-v5", None, "a2c", 3) for _ in range(5)]
    assert len(set(folders)) == 5
    for folder in folders:
        assert (tmp_path / folder).is_dir()
        assert folder.startswith("ALE-Pong-v5/")
        assert "_a2c-seed3" in folder


def test_environment_ids_become_one_folder_name():
    assert env_folder("ALE/Pong-v5") == "ALE-Pong-v5"
    assert env_folder("my_pkg.my_env:MyEnv-v0") == "my_pkg.my_env-MyEnv-v0"


def test_a_run_folder_that_cannot_be_made_is_an_io_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(A2CError) as caught:
        new_run(tmp_path / "file", "X-v0", None, "a2c", 1)
    assert caught.value.exit_code == 6


@pytest.fixture
def finished_run(tmp_path):
    folder = tmp_path / new_run(tmp_path, "Acrobot-v1", None, "a2c", 9)
    (folder / ".hydra").mkdir()
    cfg = load_config("env=acrobot", "seed=9", "lr=0.5", "env.kwargs.x='a b'", f"runs_dir={quote(str(tmp_path))}")
    OmegaConf.save(OmegaConf.create(asdict(cfg)), folder / ".hydra" / "config.yaml")
    return folder, cfg


def test_a_resumed_run_keeps_its_settings_but_for_the_overrides(finished_run):
    folder, cfg = finished_run
    resumed = load_config(f"resume={folder}", "total_steps=7", f"runs_dir={cfg.runs_dir}")
    assert resumed == replace(cfg, resume=str(folder), total_steps=7)


def test_a_run_is_not_resumed_as_another_environment(finished_run):
    folder, _ = finished_run
    with pytest.raises(ConfigError, match="env=cartpole is CartPole-v1, but the run to resume trains Acrobot-v1"):
        load_config(f"resume={folder}", "env=cartpole")
    assert load_config(f"resume={folder}", "env=acrobot").seed == 9


def test_a_run_that_is_not_there_cannot_be_resumed(tmp_path):
    with pytest.raises(CheckpointError, match="there is no latest run under"):
        load_config("resume=latest", f"runs_dir={tmp_path}/none")


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("lr_schedule=quadratic", "must be constant, linear, cosine, or points like"),
        ("lr_schedule=[]", "must be constant, linear, cosine, or points like"),
        ("lr_schedule=[0.5]", r"lr_schedule\[0\]=0.5 must be a list"),
        ("lr_schedule=[[0]]", "or points like"),
        ("lr_schedule=[[0,1],[0,2]]", "or points like"),  # they do not rise
        ("lr_schedule=[[0,1],[1.5,2]]", "or points like"),  # beyond the run
        ("beta_schedule=[[0,-1]]", "or points like"),
        ("lr_schedule=constant lr_end=0.1", "lr_end=0.1 needs lr_schedule=linear or cosine"),
        ("gae_lambda=1 gae_lambda_schedule=[[0,1.2]]", "a factor times gae_lambda=1.0 is above 1"),
        ("max_grad_norm=null max_grad_norm_schedule=linear", "needs a max_grad_norm to begin with; it is null"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused(override, text):
    with pytest.raises(ConfigError, match=text):
        validate(load_config("env.id=CartPole-v1", *override.split()))


def test_a_schedule_is_a_word_or_points():
    cfg = validate(load_config("lr_schedule=[[0,1.0],[0.5,0.2],[1,0]]", "beta_schedule=cosine", "beta_end=0.001"))
    assert cfg.lr_schedule == [[0.0, 1.0], [0.5, 0.2], [1.0, 0.0]]
    assert (cfg.beta_schedule, cfg.beta_end) == ("cosine", 0.001)
