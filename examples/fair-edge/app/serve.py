"""Runs the API with uvicorn, and ends it so that no request is lost.

SIGTERM starts the drain: for a moment everything is still answered, but /health says 503 and each answer closes its
connection, so that the proxy turns to other replicas. Then uvicorn stops listening, finishes what is in flight, and exits.
"""

import asyncio
import logging

import uvicorn

import drain
from core import logs
from core.settings import settings
from main import app

log = logging.getLogger("serve")


class DrainingServer(uvicorn.Server):
    def handle_exit(self, sig, frame) -> None:
        if drain.started():
            # Asked twice: somebody is in a hurry.
            super().handle_exit(sig, frame)
            return
        log.info("Draining: no new requests in %g s, then those in flight are finished", settings.drain_seconds)
        drain.start()
        asyncio.get_running_loop().call_later(settings.drain_seconds, super().handle_exit, sig, frame)


if __name__ == "__main__":
    logs.setup()
    # Uvicorn's own access log is off: RequestLog says the same and how long it took.
    DrainingServer(uvicorn.Config(app, host="0.0.0.0", port=8000, access_log=False, log_config=None)).run()
