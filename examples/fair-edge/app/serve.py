"""Runs the API with uvicorn, and ends it so that no request is lost.

Uvicorn alone closes its listening socket and every idle connection in one moment, and a request that is just being
written into one of those is lost. So SIGTERM goes through the stages of drain.py first: /health says 503; then nobody is
let in any more, which sends the proxy to another replica before it has sent anything; then the open connections end,
each with an answer or by the proxy itself, which drops an idle one after a second. What still runs then is finished.
"""

import asyncio
import logging
import time

import uvicorn

import drain
from core import logs
from core.settings import settings
from main import app

# Longer than the proxy keeps an idle connection (`keepalive` in the Caddyfile).
CLOSING_SECONDS = 1.5

log = logging.getLogger("serve")


class DrainingServer(uvicorn.Server):
    def handle_exit(self, sig, frame) -> None:
        if drain.stage != drain.Stage.SERVING:
            # Asked twice: somebody is in a hurry.
            super().handle_exit(sig, frame)
            return
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        log.info("Draining: /health says so for %g s, then nobody new is let in", settings.drain_seconds)
        drain.stage = drain.Stage.LEAVING
        await asyncio.sleep(settings.drain_seconds)

        drain.stage = drain.Stage.CLOSING
        for listener in self.servers:
            listener.close()
        deadline = time.monotonic() + CLOSING_SECONDS
        while self.server_state.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        # From here on it is uvicorn's own end: it waits for the requests in flight.
        self.should_exit = True


if __name__ == "__main__":
    logs.setup()
    # Uvicorn's own access log is off: RequestLog says the same and how long it took.
    DrainingServer(uvicorn.Config(app, host="0.0.0.0", port=8000, access_log=False, log_config=None)).run()
