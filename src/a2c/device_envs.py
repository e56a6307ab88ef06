"""The old name of :mod:`a2c.envs.device`, for configs that say ``a2c.device_envs:CartPoleDevice-v1``."""

import a2c.envs.device  # noqa: F401  # it registers the id
