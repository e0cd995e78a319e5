"""What Stripe tells us: POST /api/billing/stripe/webhook."""

import json
import logging

import redis.asyncio
import stripe
from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from redis.exceptions import RedisError

from core.settings import settings
from tasks import handle_stripe_event

# Stripe's own default: an older signature is a recorded one.
TOLERANCE_SECONDS = 300

# Stripe sends an event again for up to three days.
REMEMBER_SECONDS = 3 * 24 * 3600

log = logging.getLogger("billing")
router = APIRouter(prefix="/api/billing/stripe")
store = redis.asyncio.Redis.from_url(settings.redis_url, decode_responses=True)


def verified(payload: bytes, signature: str) -> dict:
    """The event, if Stripe signed these very bytes within the last five minutes; a ValueError otherwise.

    Stripe's library does what its documentation asks for: HMAC-SHA256 over "<t>.<raw body>", one matching `v1` of
    possibly several is enough (the secret is being rolled), compared in constant time.
    """
    if not signature.isascii():
        # The library's comparison takes ASCII only and would raise a TypeError.
        raise ValueError("the signature is not ASCII")
    try:
        stripe.WebhookSignature.verify_header(
            payload.decode(), signature, settings.stripe_webhook_secret, tolerance=TOLERANCE_SECONDS
        )
    except stripe.error.SignatureVerificationError as error:
        raise ValueError(error.user_message) from error
    event = json.loads(payload)
    if not isinstance(event, dict) or not all(isinstance(event.get(key), str) for key in ("id", "type")):
        raise ValueError("not an event: it has no id and type")
    return event


@router.post("/webhook")
async def webhook(request: Request) -> dict:
    # The raw body: parsing and printing it again would change the bytes that were signed.
    payload = await request.body()
    try:
        event = verified(payload, request.headers.get("stripe-signature", ""))
    except ValueError as error:
        log.warning("Rejected Stripe webhook: %s", error)
        raise HTTPException(400, f"{error}") from error

    log.info("Received Stripe webhook type=%s event=%s", event["type"], event["id"])
    try:
        return await queue_once(event["id"], event["type"])
    except (RedisError, handle_stripe_event.OperationalError) as error:
        # Not 200: Stripe will send it again.
        log.error("Cannot queue Stripe webhook event=%s: %s", event["id"], error)
        raise HTTPException(503, "try again later") from error


async def queue_once(event_id: str, event_type: str) -> dict:
    """Stripe may deliver an event several times; it is handled once."""
    seen = f"fair-edge:stripe:seen:{event_id}"
    if not await store.set(seen, event_type, nx=True, ex=REMEMBER_SECONDS):
        return {"received": True, "duplicate": True}
    try:
        await run_in_threadpool(handle_stripe_event.delay, event_id, event_type)
    except handle_stripe_event.OperationalError:
        await store.delete(seen)
        raise
    return {"received": True, "duplicate": False}
