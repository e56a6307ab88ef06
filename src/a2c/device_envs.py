"""The name under which ``CartPoleDevice-v1`` was registered before :mod:`a2c.envs.device`."""

import a2c.envs.device  # noqa: F401  # it registers the id
