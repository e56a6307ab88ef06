"""A process that ends, in order, when the one that started it has died."""

from __future__ import annotations

import os
import signal
import threading
import time

EVERY = 1.0  # seconds between looks


def stop_without_parent() -> None:
    """From now on, once the parent of this process has gone, send it SIGTERM: whoever asked for its work is not there.

    A daemon thread looks, since only some systems tell by a signal.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(EVERY)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="parent watch").start()
