"""Everything that differs between two installations, from the environment and from nowhere else."""

from dataclasses import dataclass, field
from os import environ

import stripe


def secret(name: str) -> str:
    """A required value that never shows in a traceback or a printed `settings`."""
    return field(default_factory=lambda: environ[name], repr=False)


@dataclass(frozen=True)
class Settings:
    redis_url: str = field(default_factory=lambda: environ["REDIS_URL"])
    supabase_url: str = field(default_factory=lambda: environ["SUPABASE_URL"])
    supabase_service_role_key: str = secret("SUPABASE_SERVICE_ROLE_KEY")
    stripe_api_base: str = field(default_factory=lambda: environ["STRIPE_API_BASE"])
    stripe_secret_key: str = secret("STRIPE_SECRET_KEY")
    stripe_webhook_secret: str = secret("STRIPE_WEBHOOK_SECRET")
    # How long /health says "draining" before nobody new is let in; see serve.py.
    drain_seconds: float = field(default_factory=lambda: float(environ.get("DRAIN_SECONDS", "0.5")))


settings = Settings()

stripe.api_base = settings.stripe_api_base
stripe.api_key = settings.stripe_secret_key
