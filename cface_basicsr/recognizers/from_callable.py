"""Any recognizer that Python can import: `package.module:name`."""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError, describe_error, nearest
from cface_basicsr.ops.recognizer_input import RecognizerInput

_NAME = re.compile(r'[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*')


class FunctionRecognizer(nn.Module):
    """A function from faces to features, as a recognizer. Without parameters, it can measure but not be fine-tuned.

    Args:
        function: (B, 3, height, width), in the range of its record, to (B, D).
        input_spec: its record.

    Shape: that of the function.
    """

    def __init__(self, *, function: Callable[[Tensor], Tensor], input_spec: RecognizerInput) -> None:
        super().__init__()
        self.function, self.input_spec = function, input_spec

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def is_callable_name(text: str) -> bool:
    """Whether a text has the form `package.module:name`.

    >>> is_callable_name('my_nets.faces:build'), is_callable_name('weights/net_r.pth')
    (True, False)
    """
    return _NAME.fullmatch(text) is not None


def recognizer_from_callable(text: str) -> nn.Module:
    """The recognizer of that name, in evaluation mode: (B, 3, height, width) to (B, D).

    The name is that of

    - a class or function that needs no argument: it is called, and returns a torch module with `input_spec`;
    - a function of one argument with an attribute `input_spec`: faces to features;
    - a torch module with `input_spec`.

    `input_spec` is an `ops.recognizer_input.RecognizerInput`. Modules in the working folder are found too, after
    installed ones. The recognizer is tried on two faces, which also gives its `feature_length`.

    Raises:
        UserError: there is no such module or name, it has no `input_spec`, it fails, or its output is not (B, D)
            floats.
    """
    found = _find(text)
    if isinstance(found, nn.Module):
        network = found
    elif _needed_arguments(found) == 1 and not inspect.isclass(found):
        network = FunctionRecognizer(function=found, input_spec=_record(found, text))
    else:
        network = _call(found, text)
    input_spec = _record(network, text)
    network.eval()
    network.feature_length = _feature_length(network, input_spec, text)
    return network


def _find(text: str) -> Any:
    module_name, _, name = text.partition(':')
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f'{module_name}.'.startswith(f'{error.name}.'):
            raise UserError(f"recognizer '{text}': module '{module_name}' needs '{error.name}', which is not "
                            'installed.') from error
        raise UserError(f"recognizer '{text}': there is no module '{error.name}'. Expected package.module:name, "
                        'installed or in the working folder.') from error
    except Exception as error:
        raise UserError(f"recognizer '{text}': importing '{module_name}' fails ({describe_error(error)}).") from error
    if not hasattr(module, name):
        public = [each for each in vars(module) if not each.startswith('_')]
        raise UserError(f"recognizer '{text}': '{module_name}' has no '{name}'; {nearest(name, public)}"[:400])
    return getattr(module, name)


def _needed_arguments(found: Any) -> int:
    """The number of arguments without a default; 0 if Python cannot tell."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return 0
    return sum(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def _call(found: Any, text: str) -> nn.Module:
    if not callable(found) or (count := _needed_arguments(found)):
        came = f'it needs {count} argument(s)' if callable(found) else f'it is of type {type(found).__name__}'
        raise UserError(f"recognizer '{text}': {came}. Expected a torch module, a callable without arguments that "
                        'returns one, or a function from faces to features.')
    try:
        network = found()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"recognizer '{text}' fails when it is called ({describe_error(error)}).") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"recognizer '{text}' returned an object of type {type(network).__name__}, expected a torch "
                        'module with `input_spec`.')
    return network


def _record(network: Any, text: str) -> RecognizerInput:
    spec = getattr(network, 'input_spec', None)
    if not isinstance(spec, RecognizerInput):
        came = 'has no attribute `input_spec`' if spec is None else f'has `input_spec` of type {type(spec).__name__}'
        raise UserError(f"recognizer '{text}' {came}. Expected a description of its input, for example\n"
                        'input_spec = cface_basicsr.ops.recognizer_input.RecognizerInput(height=112, width=112, '
                        "channels='rgb', mean=127.5, std=127.5, template='arcface')")
    return spec


@torch.no_grad()
def _feature_length(network: nn.Module, spec: RecognizerInput, text: str) -> int:
    faces = torch.zeros(2, 3, spec.height, spec.width)
    expected = f"recognizer '{text}': expected features (2, D) of two faces (2, 3, {spec.height}, {spec.width})"
    try:
        device = next((p.device for p in network.parameters()), 'cpu')
        features = network(faces.to(device))
    except Exception as error:
        raise UserError(f'{expected}; it fails ({describe_error(error)}).') from error
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2 \
            or not features.is_floating_point():
        came = f'{features.dtype} {tuple(features.shape)}' if isinstance(features, Tensor) else type(features).__name__
        raise UserError(f'{expected}, got {came}.')
    return features.shape[1]

