"""A recognizer from whatever names it, a file or `package.module:name`; its facts; if it suits a folder's faces."""

import hashlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cface_basicsr.archs.arcface_irse50_arch import from_facexlib, is_facexlib_arcface
from cface_basicsr.errors import UserError, describe_error, nearest
from cface_basicsr.files.manifest import file_hash, manifest_settings
from cface_basicsr.files.network_file import (
    build_network,
    build_network_from_file,
    fill_network,
    read_network_file,
)
from cface_basicsr.files.recognizer_file import named_recognizer, read_input_spec, recognizer_files, recognizer_hash
from cface_basicsr.ops.recognizer_input import RecognizerInput
from cface_basicsr.recognizers.named import ACCEPTED, recognizer_path
from cface_basicsr.recognizers.sphereface20 import from_caffe, is_sphereface20, read_caffe_blobs, to_sphereface20
from cface_basicsr.registration import import_named


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


def recognizer_from_callable(text: str) -> nn.Module:
    """The recognizer of that name, in evaluation mode: (B, 3, height, width) to (B, D).

    The name is that of

    - a class or function that needs no argument: it is called, and returns a torch module with `input_spec`;
    - a function of one argument with an attribute `input_spec`: faces to features;
    - a torch module with `input_spec`.

    `input_spec` is an `ops.recognizer_input.RecognizerInput`. Modules in the working folder are found too, after
    installed ones. The recognizer is tried on two faces, which also gives its `feature_length`.

    Raises:
        UserError: the module or the name in it is missing, it has no `input_spec`, it fails, or its output is not
            (B, D) floats.
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
    module = import_named(module_name, f"recognizer '{text}'", 'package.module:name')
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


def load_recognizer(text: str | Path) -> nn.Module:
    """A recognizer in evaluation mode, on the CPU: (B, 3, height, width) to (B, D).

    It has `input_spec` and `feature_length`.

    Args:
        text: the path of a network file of ours (.pth), of weights published elsewhere (see `published_recognizer`) or
            of an ONNX file; `dlib`, which comes with the plugin; or `package.module:name` (see
            `recognizer_from_callable`). A `Path`, as of what a file names, is always a file: no module is imported
            because a file names it.

    Raises:
        UserError: the name is unknown, the file is missing, or its content is not a recognizer.

    >>> load_recognizer('dlib').feature_length
    128
    """
    if (path := recognizer_path(text)) is None:
        return recognizer_from_callable(text)
    if path.suffix == '.onnx':
        from cface_basicsr.archs.onnx_recognizer_arch import OnnxRecognizer
        return OnnxRecognizer(file=str(path)).eval()
    if (published := published_recognizer(path)) is not None:
        options, state = published
        network = build_network(options)
        fill_network(network, state, f"'{path}'")
        return network.eval()
    network = build_network_from_file(path)
    if not hasattr(network, 'input_spec'):
        raise UserError(f"'{path}' holds a {type(network).__name__}, which is not a recognizer.\n"
                        'Expected CNN_R: net_r_*.pth of stage 0 or 3.')
    return network


def published_recognizer(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """The network options and the state dict of weights published elsewhere, renamed for our network.

    Known are SphereFace-20 of wy1iu (.caffemodel) and clcarwin (.pth), and facexlib's recognition_arcface_ir_se50.pth;
    they are told by the names of their layers, not by the file's name. A settings file next to it may give other
    `channels` and another `template` (`files.recognizer_file`).

    Returns:
        ({'type': NAME, …}, state dict), weights (out, in, …); None for a file that says which network it holds.

    Raises:
        UserError: it is unreadable, or none of these.
    """
    where, from_caffemodel = f"'{path}'", path.suffix == '.caffemodel'
    if from_caffemodel:
        state = from_caffe(read_caffe_blobs(path))
    else:
        content = read_network_file(path)
        if isinstance(content.get('network'), dict):
            return None
        state = _state_dict(content)
    if from_caffemodel or is_sphereface20(state):
        options, state = to_sphereface20(state, where)
    elif is_facexlib_arcface(state):
        options, state = from_facexlib(state, where)
    else:
        raise UserError(f'{where} does not say which network it holds, and its layers are not those of a known one '
                        f"(first: '{next(iter(state), '')}').\nExpected {ACCEPTED}.")
    return options | read_input_spec(path, ('channels', 'template')), state


def recognizer_facts(text: str | Path, network: nn.Module) -> dict[str, Any]:
    """What makes a number traceable to its recognizer: its files with their SHA-256, its input, its feature length D.

    A `package.module:name` is identified by the file of its module.
    """
    facts: dict[str, Any] = {'recognizer': str(text), 'input_spec': asdict(network.input_spec),
                             'feature_length': network.feature_length}
    path = named_recognizer(text)
    if path.is_file():
        files = recognizer_files(path)
    else:
        module = sys.modules.get(str(text).partition(':')[0])
        files = [Path(module.__file__)] if getattr(module, '__file__', None) else []
    if files:
        facts |= {'file': str(files[0]), 'sha256': file_hash(files[0], 64)}
    if files[1:]:
        facts['beside'] = {each.name: file_hash(each, 64) for each in files[1:]}
    return facts


def recognizer_content(text: str | Path, network: nn.Module) -> str:
    """SHA-256 of all that a recognizer is made of; '' where that is not known.

    That is its files, and the ONNX file that a network file may name; of a `package.module:name` its weights, and the
    source files of its module and of its classes. What has no weights of its own, such as a function, has them where
    nobody sees them change.
    """
    path = named_recognizer(text)
    if not path.is_file():
        sha256, weights = recognizer_facts(text, network).get('sha256', ''), network.state_dict()
        sources = {_source_of(type(each)) for each in network.modules()}
        if not (sha256 and weights and all(sources)):
            return ''
        return _joined_hash(sha256, *(file_hash(source, 64) for source in sorted(sources)),
                            *map(_tensor_hash, weights.items()))
    content = {} if path.suffix in ('.onnx', '.caffemodel') else read_network_file(path)
    network_of_file = content.get('network')
    onnx = network_of_file.get('file') if isinstance(network_of_file, dict) else None
    return _joined_hash(*(recognizer_hash(file, 64) for file in (path, onnx) if file))


def _source_of(kind: type) -> str:
    """The file that a class is written in; '' where there is none, or where it runs what another file says."""
    try:
        return '' if issubclass(kind, torch.jit.ScriptModule) else inspect.getsourcefile(kind) or ''
    except (TypeError, OSError):
        return ''


def _joined_hash(*hashes: str) -> str:
    return hashlib.sha256(' '.join(hashes).encode()).hexdigest()


def _tensor_hash(entry: tuple[str, Tensor]) -> str:
    name, value = entry
    return name + hashlib.sha256(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()).hexdigest()


def crop_note(folder: Path, name: str, network: nn.Module) -> str | None:
    """A warning if a folder's faces were cropped in another way than those that the recognizer was trained on.

    Args:
        folder: made by `cface prepare`; without a manifest there is nothing to compare.
        name: what the warning calls the recognizer.
    """
    settings = manifest_settings(folder)
    crop, spec = settings.get('crop'), network.input_spec
    # Both landmark templates give the same square (data/images/align.py), so only aligned or not matters there.
    fits = {'align': spec.template != 'center', 'center': spec.template == 'center', 'box': False,
            'resize': False}
    if not fits.get(crop, True):
        return (f"the faces were cropped with --crop {crop}, {name} was trained on '{spec.template}' crops: its "
                'features will be poor.')
    size = settings.get('size')
    if crop == 'align' and isinstance(size, list) and size[1] * spec.height < size[0] * spec.width:
        return (f'the faces are {size[0]}x{size[1]}, {name} takes wider ones ({spec.height}x{spec.width}): it sees '
                'only their middle, and its features will be poor.')
    return None


def _state_dict(content: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, taken out of the usual wrappers."""
    for key in ('state_dict', 'params_ema', 'params', 'model'):
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    return {str(name).removeprefix('module.'): value for name, value in content.items() if isinstance(value, Tensor)}
