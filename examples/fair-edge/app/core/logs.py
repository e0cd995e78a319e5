"""One line per event on standard output, where Docker collects it."""

import logging
import sys
import time


def setup() -> None:
    handler = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # One line per outgoing request would drown our own.
    logging.getLogger("httpx").setLevel(logging.WARNING)
