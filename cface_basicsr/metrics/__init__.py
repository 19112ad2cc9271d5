"""How good restored faces are: one pair for BasicSR's validation loop, or batch after batch, as torchmetrics does."""

import importlib
from typing import Any

__all__ = ['IdentitySimilarity', 'LandmarkDistance', 'TarAtFar', 'VerificationAccuracy']


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f'{__name__}.batchwise'), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
