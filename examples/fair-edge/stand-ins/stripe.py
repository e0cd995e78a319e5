"""Stands in for Stripe's API: the account that `stripe.Account.retrieve()` asks for. Events: see send_event.py."""

import base64
import hmac
import os

from standin import serve

KEY = os.environ["STRIPE_SECRET_KEY"]


def authorised(header: str) -> bool:
    """Stripe takes the key as a Bearer or as the user of basic authentication."""
    kind, _, value = header.partition(" ")
    if kind == "Basic":
        try:
            value = base64.b64decode(value).decode().partition(":")[0]
        except ValueError:
            return False
    return hmac.compare_digest(value.encode(), KEY.encode())


def answer(path, _query, headers):
    if not authorised(headers.get("Authorization", "")):
        return 401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key provided"}}
    if path == "/v1/account":
        return 200, {"id": "acct_fairedge_stand_in", "object": "account", "charges_enabled": True}
    return 404, {"error": {"type": "invalid_request_error", "message": f"Unrecognized request URL (GET: {path})"}}


serve(answer)
