"""The API of Fair-Edge. `serve.py` runs it."""

import json
import logging
import time

import httpx
import redis.asyncio
from celery.result import AsyncResult
from fastapi import FastAPI, HTTPException, Response
from fastapi.concurrency import run_in_threadpool
from redis.exceptions import RedisError

import billing
import drain
from core.settings import settings
from edges import load_edges
from tasks import build_report, celery

# How old the shown edges may be.
EDGES_KEY = "fair-edge:edges"
EDGES_SECONDS = 15

log = logging.getLogger("api")
app = FastAPI(title="Fair-Edge")
app.include_router(billing.router)
store = redis.asyncio.Redis.from_url(
    settings.redis_url, decode_responses=True, socket_timeout=2, socket_connect_timeout=2
)


@app.get("/health")
async def health(response: Response) -> dict:
    """503 when this replica should get no requests: it is about to stop, or has no redis."""
    if drain.stage != drain.Stage.SERVING:
        response.status_code = 503
        return {"status": "draining"}
    try:
        await store.ping()
    except (RedisError, OSError) as error:
        log.error("Redis does not answer: %s", error)
        response.status_code = 503
        return {"status": "unavailable", "redis": "unreachable"}
    return {"status": "ok", "redis": "ok"}


@app.get("/api/edges")
async def edges(response: Response) -> dict:
    """The offers with their edge, from the cache where it has them."""
    cached = await store.get(EDGES_KEY)
    if cached is not None:
        response.headers["X-Cache"] = "hit"
        return {"cache": "hit", "edges": json.loads(cached)}
    try:
        fresh = await run_in_threadpool(load_edges)
    except httpx.HTTPError as error:
        log.error("Supabase does not answer: %s", error)
        raise HTTPException(502, "the database does not answer") from error
    await store.set(EDGES_KEY, json.dumps(fresh), ex=EDGES_SECONDS)
    response.headers["X-Cache"] = "miss"
    return {"cache": "miss", "edges": fresh}


@app.post("/api/reports", status_code=202)
def queue_report() -> dict:
    """Queues the work and answers at once."""
    try:
        task = build_report.delay()
    except build_report.OperationalError as error:
        log.error("Cannot queue a report: %s", error)
        raise HTTPException(503, "the queue does not answer") from error
    return {"id": task.id, "status": f"/api/reports/{task.id}"}


@app.get("/api/reports/{task_id}")
def report(task_id: str) -> dict:
    """PENDING, also for an id that never was: celery does not tell the two apart."""
    result = AsyncResult(task_id, app=celery)
    return {"state": result.state, "report": result.result if result.successful() else None}


@app.exception_handler(RedisError)
async def redis_is_away(_, error: RedisError) -> Response:
    log.error("Redis does not answer: %s", error)
    return Response('{"detail":"redis does not answer"}', 503, media_type="application/json")


class RequestLog:
    """One line per request, written when its last byte is sent.

    Plain ASGI: the framework's own middleware wraps each request in another task, at the price of a third of the speed.
    """

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watched(message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if drain.stage == drain.Stage.CLOSING:
                    # The proxy must not send its next request down this connection.
                    message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            log.info("%s %s %d duration=%.0fms", scope["method"], scope["path"], status, milliseconds)


app.add_middleware(RequestLog)
