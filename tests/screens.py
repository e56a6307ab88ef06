"""A terminal for tests: what is written to it, with and without the codes that move its cursor."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
OF_TERMINALS = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE")  # variables


class Screen:
    """A terminal of a given width to write to."""

    def __init__(self, width: int) -> None:
        self._controller, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        self.stream = open(end, "w", encoding="utf-8")  # noqa: SIM115  closed by close()
        self.raw = ""

    def read(self) -> str:
        """All that was written so far, as it was written."""
        while select.select([self._controller], [], [], 0.05)[0]:
            self.raw += os.read(self._controller, 65536).decode()
        return self.raw

    def lines(self) -> list[str]:
        """The text without colours; of what was drawn over, the last."""
        return [ANSI.sub("", line).rstrip("\r").split("\r")[-1] for line in self.read().split("\n")]

    def close(self) -> None:
        self.stream.close()
        os.close(self._controller)
