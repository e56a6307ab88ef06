"""``python -m a2c``."""

import sys

from a2c.cli import main

if __name__ == "__main__":  # worker processes import this module again
    sys.exit(main())
