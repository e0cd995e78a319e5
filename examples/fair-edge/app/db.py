"""Reads from Supabase's REST API: the few calls of its client that this platform needs."""

from functools import lru_cache
from typing import Any, Optional

import httpx

from core.settings import settings

# Supabase answers in milliseconds; whoever waits longer than this is better off with an error.
TIMEOUT_SECONDS = 5.0


class Query:
    def __init__(self, client: httpx.Client, table: str) -> None:
        self._client = client
        self._table = table
        self._parameters: dict[str, Any] = {}

    def select(self, columns: str) -> "Query":
        self._parameters["select"] = columns
        return self

    def limit(self, rows: int) -> "Query":
        self._parameters["limit"] = rows
        return self

    def execute(self) -> list[dict[str, Any]]:
        answer = self._client.get(f"/rest/v1/{self._table}", params=self._parameters)
        answer.raise_for_status()
        return answer.json()


class Supabase:
    def __init__(self, url: str, key: str) -> None:
        self._client = httpx.Client(
            base_url=url,
            headers={"apikey": key, "Authorization": f"Bearer {key}"},
            timeout=TIMEOUT_SECONDS,
        )

    def table(self, name: str) -> Query:
        return Query(self._client, name)


@lru_cache(maxsize=None)
def get_supabase(url: Optional[str] = None, key: Optional[str] = None) -> Supabase:
    return Supabase(url or settings.supabase_url, key or settings.supabase_service_role_key)
