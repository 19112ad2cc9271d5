"""How far a restored face is from the true one in the eyes of a recognizer: a metric for BasicSR's validation.

    metrics:
      identity: {type: calculate_identity_distance, network_r: weights/recognizer.pth, better: lower}
"""

import functools
import json
import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cface_basicsr import registration
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import to_images
from cface_basicsr.files.json_file import parse_json
from cface_basicsr.files.network_file import build_network, build_network_from_file, load_weights
from cface_basicsr.ops.identity_distance import Distance, identity_distance
from cface_basicsr.ops.recognizer_input import recognizer_features
from cface_basicsr.runtime import pick_device


@registration.metric
def calculate_identity_distance(img: NDArray[np.uint8], img2: NDArray[np.uint8], *, network_r: str | Mapping[str, Any],
                                weights: str | None = None, distance: Distance = 'normalized',
                                device: str | None = None, better: Literal['higher', 'lower'] = 'lower') -> float:
    """Super-identity distance of one image pair, equation (4) of C-Face.

    Args:
        img, img2: (H, W, 3) uint8 BGR, as BasicSR's validation hands them over.
        network_r: a weights file that says which network it holds; or the options {'type': NAME, …} of a network, whose
            weights then come from `weights`, or, for a network that is a file itself (OnnxRecognizer), from its `file`.
        weights: weights file for options without `file`.
        distance: 'normalized' (in [0, 4]), 'l2' or 'cosine'.
        device: None: CUDA if there is any. The network is built once and kept.
        better: for BasicSR's record of the best value; must be 'lower', as for any distance.

    Raises:
        UserError: another shape, a network that is not a recognizer, no weights, or `better: higher`.
    """
    if better != 'lower':
        raise UserError(f"better: a distance is better when lower, got '{better}'.")
    for image in (img, img2):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(f'identity distance: expected uint8 (H, W, 3) images, got {image.dtype} {image.shape}.')
    device = device or str(pick_device())
    recognizer = _recognizer(_as_text(network_r), weights, _version(network_r, weights), device)
    with torch.inference_mode():
        first, second = (recognizer_features(recognizer, to_images(image[None, ..., ::-1], device))  # BGR to RGB
                         for image in (img, img2))
        return identity_distance(first, second, distance).item()


def _as_text(network_r: str | Mapping[str, Any]) -> str:
    return json.dumps(network_r if isinstance(network_r, str) else dict(network_r), sort_keys=True)


def _version(network_r: str | Mapping[str, Any], weights: str | None) -> int:
    """The time stamp of the weights file, so that a changed file is read again; 0 without a file."""
    path = network_r if isinstance(network_r, str) else weights
    return os.stat(path).st_mtime_ns if path and os.path.exists(path) else 0


@functools.lru_cache(maxsize=4)
def _recognizer(network_r: str, weights: str | None, version: int, device: str) -> nn.Module:
    recognizer = _build(parse_json(network_r, 'network_r', str | dict[str, Any]), weights)
    if not hasattr(recognizer, 'input_spec'):
        raise UserError(f'network_r: {type(recognizer).__name__} is not a recognizer: it has no record `input_spec`.')
    return recognizer.to(device).eval().requires_grad_(False)


def _build(network_r: str | dict[str, Any], weights: str | None) -> nn.Module:
    if isinstance(network_r, str):
        return build_network_from_file(network_r)
    if weights is None and 'file' not in network_r:
        raise UserError('identity distance: expected `weights`, the file of the recognizer. Random weights measure '
                        'nothing.')
    recognizer = build_network(network_r)
    if weights is not None:
        load_weights(recognizer, weights)
    return recognizer

