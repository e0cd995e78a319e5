"""Whether this process has been asked to stop. Set once, by serve.py."""

_started = False


def start() -> None:
    global _started
    _started = True


def started() -> bool:
    return _started
