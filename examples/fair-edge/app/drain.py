"""How far this process is on its way out. Moved on by serve.py, read by main.py."""

from enum import IntEnum


class Stage(IntEnum):
    SERVING = 0
    LEAVING = 1  # everything is answered, but /health asks to be sent no more
    CLOSING = 2  # no new connections; those that are open end with their next answer


stage = Stage.SERVING
