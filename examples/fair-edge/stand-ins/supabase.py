"""Stands in for Supabase's REST API (PostgREST): two tables to read, with `select` and `limit`."""

import hmac
import os

from standin import serve

TABLES = {
    "profiles": [
        {"id": "6f1c2a52-0d5e-4d53-8b7e-0f6f5a1f4b11", "plan": "free"},
        {"id": "b2f7c1de-93a4-4b3c-9a6e-2d1f0c8e7a22", "plan": "pro"},
    ],
    # `market`: the prices of a bookmaker close to the truth; the first is for the outcome that is offered.
    "offers": [
        {"id": 1, "event": "Lisbon – Porto: Lisbon", "offered": 2.12, "market": [1.95, 1.95]},
        {"id": 2, "event": "Oslo – Bergen: draw", "offered": 3.40, "market": [3.50, 2.60, 2.90]},
        {"id": 3, "event": "Graz – Linz: Linz", "offered": 1.80, "market": [1.74, 2.20]},
        {"id": 4, "event": "Kyoto – Osaka: Osaka", "offered": 2.65, "market": [2.50, 1.57]},
    ],
}

KEY = os.environ["SUPABASE_SERVICE_ROLE_KEY"]


def answer(path, query, headers):
    # As with Supabase itself, no row is shown without a key.
    given = headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), KEY.encode()):
        return 401, {"message": "Invalid API key"}
    rows = TABLES.get(path.removeprefix("/rest/v1/"))
    if rows is None:
        return 404, {"code": "42P01", "message": f"relation {path} does not exist"}

    columns = query.get("select", "*")
    if columns != "*":
        names = columns.split(",")
        if not all(name in rows[0] for name in names):
            return 400, {"code": "42703", "message": f"a column of {columns} does not exist"}
        rows = [{name: row[name] for name in names} for row in rows]
    limit = query.get("limit", "1000")
    if not limit.isdecimal():
        return 400, {"code": "PGRST100", "message": f"limit is not a number: {limit}"}
    return 200, rows[: int(limit)]


serve(answer)
