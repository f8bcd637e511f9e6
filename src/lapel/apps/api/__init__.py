"""The HTTP API: ``lapel api --store shop``. One file a subject; :func:`create_app` makes an ASGI app of a store."""

from __future__ import annotations

from lapel.apps.api.app import create_app
from lapel.apps.api.run import serve
from lapel.apps.api.serving import ApiOptions

__all__ = ["ApiOptions", "create_app", "serve"]
