"""A VGG19 weights file for tests: torchvision's keys and shapes, seeded random values, no download."""

from pathlib import Path

import torch


def write_seeded_vgg19(path: str | Path, seed: int = 0, layer: str = 'relu5_4') -> Path:
    """Write a features-only state dict ('features.0.weight', …) of the layers up to `layer`; 77 MB when whole.

    Weights are He-distributed, so that features keep their size through the depth. 'relu3_1' (2 MB) is enough for
    the default content loss.
    """
    from cface_basicsr.losses.vgg_content_loss import build_features
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, value in build_features(layer).state_dict().items():
        std = (2 / value[0].numel()) ** 0.5 if value.ndim == 4 else 0.0
        state[f'features.{key}'] = std * torch.randn(value.shape, generator=generator)
    torch.save(state, path)
    return Path(path)
