#!/usr/bin/env python3
"""Sends the api a webhook event, signed as Stripe signs it. Exits with 0 when it was accepted."""

import argparse
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

arguments = argparse.ArgumentParser(prog="send-event", description=__doc__)
arguments.add_argument("type", nargs="?", default="checkout.session.completed", help="default: %(default)s")
arguments.add_argument("--id", default=f"evt_{uuid.uuid4().hex[:16]}", help="the event's id; a new one if not given")
arguments.add_argument("--age", type=int, default=0, metavar="SECONDS", help="sign as if it were that long ago")
arguments.add_argument("--secret", default=os.environ.get("STRIPE_WEBHOOK_SECRET"), help="sign with another secret")
arguments.add_argument("--rolled", action="store_true", help="add a signature by an older secret, as while rolling it")
arguments.add_argument("--url", default=os.environ.get("WEBHOOK_URL"))
options = arguments.parse_args()

timestamp = int(time.time()) - options.age
payload = json.dumps({"id": options.id, "object": "event", "type": options.type, "created": timestamp}).encode()


def sign(secret: str) -> str:
    return hmac.new(secret.encode(), b"%d.%s" % (timestamp, payload), "sha256").hexdigest()


signatures = [sign("whsec_an_older_one")] * options.rolled + [sign(options.secret)]
header = ",".join([f"t={timestamp}", *(f"v1={signature}" for signature in signatures)])
request = urllib.request.Request(
    options.url, payload, {"Content-Type": "application/json", "Stripe-Signature": header}, method="POST"
)
try:
    with urllib.request.urlopen(request, timeout=10) as response:
        status, body = response.status, response.read()
except urllib.error.HTTPError as error:
    status, body = error.code, error.read()
except OSError as error:
    sys.exit(f"send-event: {options.url}: {error}")

print(status, body.decode())
sys.exit(status != 200)
