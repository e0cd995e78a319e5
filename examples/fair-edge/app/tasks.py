"""The background jobs: `celery --app tasks worker` runs them, `celery --app tasks beat` schedules them."""

import logging
import time
from pathlib import Path

import redis
from celery import Celery, signals
from celery.beat import PersistentScheduler

from core import logs
from core.settings import settings
from edges import load_edges

# Touched while the worker or beat is at work; the health check asks for its age. A `celery inspect ping` would
# start a Python for a second each time and ask through the very queue that may be full.
ALIVE = Path("/tmp/alive")

SCAN_SECONDS = 10

log = logging.getLogger("tasks")

celery = Celery("fair-edge", broker=settings.redis_url, backend=settings.redis_url)
celery.conf.update(
    # A task whose worker dies goes to another one instead of being lost; so tasks must bear running twice.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    result_expires=3600,
    broker_transport_options={
        # When a whole worker dies, its tasks go to another one after this long; no task here takes so long itself.
        "visibility_timeout": 120,
        # A caller is told that redis is away; it does not hang.
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
    },
    task_publish_retry=False,
    # Redis restarts: keep trying for ever, as `restart: unless-stopped` would do, but without the restarts.
    broker_connection_max_retries=None,
    beat_schedule={"scan-markets": {"task": "tasks.scan_markets", "schedule": SCAN_SECONDS}},
    beat_scheduler="tasks:WatchedScheduler",
    beat_schedule_filename="/tmp/celerybeat-schedule",
)

store = redis.Redis.from_url(settings.redis_url, decode_responses=True)


@celery.task
def scan_markets() -> int:
    """Every ten seconds: count the offers that are worth a look."""
    good = sum(1 for row in load_edges() if row["edge"] > 0)
    store.hset("fair-edge:scan", mapping={"good": good, "at": int(time.time())})
    store.hincrby("fair-edge:scan", "runs", 1)
    log.info("Scanned the markets good=%d", good)
    return good


@celery.task
def build_report() -> dict:
    """Queued by POST /api/reports; its result waits in redis for GET /api/reports/{id}."""
    edges = load_edges()
    return {"offers": len(edges), "best": edges[0] if edges else None}


@celery.task
def handle_stripe_event(event_id: str, event_type: str) -> None:
    """Queued by the webhook, which must answer at once: Stripe counts a slow answer as a failure."""
    if event_type.endswith("payment_failed"):
        log.warning("Stripe payment_failed event=%s", event_id)
    elif event_type.startswith("customer.subscription."):
        log.info("Stripe subscription changed type=%s event=%s", event_type, event_id)
    store.hincrby("fair-edge:stripe:handled", event_type, 1)


class WatchedScheduler(PersistentScheduler):
    """Celery's own scheduler, and a sign of life at each of its ticks."""

    def tick(self, *args, **kwargs):
        ALIVE.touch()
        return super().tick(*args, **kwargs)


@signals.heartbeat_sent.connect
def worker_is_alive(**_):
    """Every two seconds, for as long as the worker's main loop turns and redis takes what it sends."""
    ALIVE.touch()


@signals.setup_logging.connect
def log_as_the_api_does(**_):
    logs.setup()
