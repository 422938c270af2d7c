"""The captured claims: what each provider signs for a release job, as its file holds them."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "providers"


def captured(name: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return claims
