"""Network files: one writer, one reader. Each file says which network it holds.

A file is BasicSR's own dictionary ({'params': state_dict, 'params_ema': …}) with one more entry, 'network': the
options that build the network ({'type': 'SRResNet', 'scale': 8, …}). BasicSR reads it like any of its files; it holds
only tensors and plain values, so it loads under `weights_only=True`. A .safetensors file holds the same, without the
choice between several sets of weights.
"""

import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any, BinaryIO, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules import module
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from cface_basicsr.errors import UserError, describe_error, nearest
from cface_basicsr.files.atomic import replacing, reserve
from cface_basicsr.files.safetensors_file import SAFETENSORS, read_safetensors
from cface_basicsr.files.torch_file import read_torch_file
from cface_basicsr.ops.template import Template
from cface_basicsr.registration import find_arch

AVERAGED = ('params_ema', 'params')
"""The entries whose weights are taken: the average (EMA) if there is one."""

LED_BY = 'led_by'
"""The entry of a generator's file that lists the marks of the recognizers that led its losses, see `leaders_in`."""

STARTED_FROM = 'started_from'
"""The entry of a recognizer's file that lists the marks of those that it was trained from, see `recognizer_marks`."""

TEMPLATE = 'template'
"""The entry of a generator's file that says how the faces were cropped that it was trained on, one of `Template`."""


class _Hashed:
    """A file whose content is hashed while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.flush = file, hashlib.sha256(), file.flush

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return self.file.write(content)


def save_atomically(content: Any, path: str | Path) -> str:
    """`torch.save` aside, flushed to the disk, then renamed: a kill or a power cut leaves the old file or the new one.

    Written to a file that has no name for torch: it would put a name, and so one of a temporary file, into the zip.

    Returns:
        the SHA-256 of the file.

    Raises:
        OSError: the disk is full; noticed before anything is written.
    """
    content = _told_apart_by_value(content)
    with replacing(path, flushed=True) as aside:
        reserve(aside, sum(_storages(content).values()), path)
        with open(os.open(aside, os.O_RDWR | os.O_CREAT, 0o666), 'wb') as file:
            hashed = _Hashed(file)
            torch.save(content, hashed)
            file.truncate()
    return hashed.digest.hexdigest()


def _told_apart_by_value(content: Any) -> Any:
    """Plain containers made anew: pickle writes an object that it has met in another way than one that is its equal."""
    if type(content) is dict:
        return {_told_apart_by_value(key): _told_apart_by_value(value) for key, value in content.items()}
    if type(content) in (list, tuple):
        return type(content)(map(_told_apart_by_value, content))
    return sys.intern(content) if type(content) is str else content


def _storages(content: Any) -> dict[int, int]:
    """The bytes of the memory behind all tensors of a content, by its address: several may share it."""
    if isinstance(content, Tensor):
        storage = content.untyped_storage()
        return {storage.data_ptr(): storage.nbytes()}
    parts = content.values() if isinstance(content, Mapping) else content if isinstance(content, (list, tuple)) else ()
    return {address: size for part in parts for address, size in _storages(part).items()}


def read_network_file(path: str | Path) -> dict[str, Any]:
    """The whole dictionary of a network file, tensors on the CPU.

    Raises:
        UserError: the file is missing, cut off, damaged, or not a network file.
    """
    if Path(path).suffix == SAFETENSORS:
        return read_safetensors(path)
    content = read_torch_file(path, 'Expected a .pth file that `cface train` or BasicSR wrote.')
    if not isinstance(content, dict):
        raise UserError(f"weights file '{path}' holds a {type(content).__name__}, expected a dictionary.")
    return content


def network_options(path: str | Path) -> dict[str, Any]:
    """The options that build the network of a file, as {'type': NAME, …}.

    Raises:
        UserError: the file does not say which network it is.
    """
    return _options(read_network_file(path), path)


def _options(content: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    options = content.get('network')
    if not isinstance(options, dict):
        raise UserError(f"weights file '{path}' does not say which network it holds (no 'network' entry). "
                        'Files that the plugin saves have one; `cface convert` gives one to published recognizers, and '
                        'docs/networks.md shows how to give one to a generator.')
    return dict(options)


def template_in(content: Mapping[str, Any], path: str | Path) -> Template | None:
    """How the faces were cropped that a network was trained on, by what its file holds; None where it does not say it.

    Raises:
        UserError: it says something unknown.
    """
    found = content.get(TEMPLATE)
    if found is not None and found not in get_args(Template):
        raise UserError(f"weights file '{path}', entry '{TEMPLATE}': expected one of {', '.join(get_args(Template))}, "
                        f'got {str(found)[:40]!r}.')
    return found


def leaders_in(content: Mapping[str, Any], path: str | Path) -> list[str]:
    """The marks of the recognizers that led a network's losses, by what its file holds; see `recognizer_marks`.

    Raises:
        UserError: it holds something else there.
    """
    found = content.get(LED_BY)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(mark, str) for mark in found):
        raise UserError(f"weights file '{path}', entry '{LED_BY}': expected a list of SHA-256 hashes, got "
                        f'{str(found)[:40]!r}.')
    return found


_OF_BASICSR = ('ECBSR', 'EDSR', 'MSRResNet', 'RCAN', 'RIDNet', 'RRDBNet', 'SRVGGNetCompact', 'SwinIR')
"""Its generators that a file may name. Others of its networks open files or load from the web when they are built."""
_MOST_MODULES, _LARGEST_ARGUMENT, _SPARE = 20_000, 100_000_000, 1 << 24


def build_network(options: Mapping[str, Any], most: int | None = None) -> nn.Module:
    """The network that options {'type': NAME, …} describe, ours or BasicSR's, with random weights.

    Args:
        most: how many weights it may have, if the options come from a file: a network that is larger than its file is
            refused before its memory is taken, and only generators and recognizers are built.

    Raises:
        UserError: the network is unknown, or cannot be built from these arguments.
    """
    name, arguments = options.get('type'), {key: value for key, value in options.items() if key != 'type'}
    if not isinstance(name, str):
        raise UserError(f"expected 'type', the name of a network, got {dict(options)}.")
    kind = find_arch(name)
    known = inspect.signature(kind).parameters
    unknown = [key for key in arguments if key not in known]
    if unknown and not any(each.kind is each.VAR_KEYWORD for each in known.values()):
        raise UserError(f"{name} has no argument '{unknown[0]}'; {nearest(str(unknown[0]), known)}")
    if most is not None:
        _check_arguments(kind, name, arguments)
    try:
        with _bounded(name, most):
            return kind(**arguments)
    except UserError:
        raise
    except Exception as error:  # a wrong value ends deep in torch, in many ways
        raise UserError(f'{name} cannot be built from {str(arguments)[:100]}: {describe_error(error)}') from error


def _check_arguments(kind: Callable[..., Any], name: str, arguments: Mapping[str, Any]) -> None:
    if kind.__module__.startswith('basicsr.') and name not in _OF_BASICSR:
        raise UserError(f"{name} of BasicSR is not built from a file, only {', '.join(_OF_BASICSR)}.")
    for key, value in arguments.items():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(each, (int, float)) and not abs(each) <= _LARGEST_ARGUMENT:
                raise UserError(f"{name} cannot have '{key}' {str(each)[:30]}.")


@contextmanager
def _bounded(name: str, most: int | None) -> Iterator[None]:
    """Inside, this thread builds no network of more weights than this, and none of very many parts."""
    if most is None:
        yield
        return
    left, own = {'weights': most + _SPARE, 'parts': _MOST_MODULES}, get_ident()

    def count(what: str, value: Any) -> None:
        if get_ident() == own:
            left[what] -= value.numel() if isinstance(value, Tensor) else 1
            if left[what] < 0:
                raise UserError(f'{name} would have more {what} than its file.')
    with ExitStack() as stack:
        for register, what in ((module.register_module_parameter_registration_hook, 'weights'),
                               (module.register_module_buffer_registration_hook, 'weights'),
                               (module.register_module_module_registration_hook, 'parts')):
            handle = register(lambda _, __, value, what=what: count(what, value))
            stack.callback(handle.remove)
        yield


def build_network_from_file(path: str | Path) -> nn.Module:
    """The network of a file with its weights, in eval mode, on the CPU.

    Raises:
        UserError: the file does not say which network it holds, or its weights do not fit that network.
    """
    content = read_network_file(path)
    try:
        network = build_network(_options(content, path), os.path.getsize(path))
    except UserError as error:
        if str(path) in str(error):
            raise
        raise UserError(f"weights file '{path}', entry 'network': {error}") from error
    fill_network(network, _parameters(content, path, AVERAGED, network), f"weights file '{path}'")
    return network.eval()


def load_weights(network: nn.Module, path: str | Path, entries: Sequence[str] = AVERAGED, *,
                 strict: bool = True) -> list[str]:
    """Load a file's weights into a network.

    Args:
        entries: of the file; the first one that it has is taken.
        strict: whether all weights must fit; otherwise those that fit are loaded.

    Returns:
        the names of those weights of the network that stay as they were; none if all must fit.

    Raises:
        UserError: the file is missing or cut off, has none of these entries, or belongs to another network.
    """
    parameters = _parameters(read_network_file(path), path, entries, network)
    return fill_network(network, parameters, f"weights file '{path}'", strict=strict)


def _parameters(content: Mapping[str, Any], path: str | Path, entries: Sequence[str], network: nn.Module) -> Any:
    """The first of these entries that is there; a null is not."""
    for entry in entries:
        if content.get(entry) is not None:
            return content[entry]
    raise UserError(f"weights file '{path}' has no entry '{entries[-1]}'; found: {', '.join(map(str, content))[:80]}."
                    + ('\n`cface convert` makes network files of published recognizers.'
                       if hasattr(network, 'input_spec') else ''))


def fill_network(network: nn.Module, parameters: Any, where: str, *, strict: bool = True) -> list[str]:
    """Load a state dict into a network; returns what `load_weights` does.

    Args:
        parameters: see `as_state_dict`.
        where: what a message calls the file.
        strict: see `load_weights`.

    Raises:
        UserError: it is not a state dict, or belongs to another network; without `strict`: nothing fits.
    """
    parameters, name, ours = as_state_dict(parameters, where), type(network).__name__, network.state_dict()
    for key, value in parameters.items():  # torch would cut numbers off: 0.7 becomes 0, and 1+2i becomes 1
        if key in ours and ours[key].is_floating_point() and not value.is_floating_point():
            raise UserError(f"{where} does not fit {name}: '{key}' is {value.dtype}, expected {ours[key].dtype}.")
    if not strict:
        parameters = {key: value for key, value in parameters.items()
                      if key in ours and value.shape == ours[key].shape}
        if ours and not parameters:
            raise UserError(f'{where} does not fit {name}: no tensor in it has a name and shape of that network.')
    try:
        return network.load_state_dict(parameters, strict=strict).missing_keys
    except RuntimeError as error:
        raise UserError(f'{where} does not fit {name}: {str(error).splitlines()[1].strip()[:160]}') from error


def as_state_dict(parameters: Any, where: str) -> dict[str, Tensor]:
    """A state dict without the 'module.' that DataParallel puts before names.

    Raises:
        UserError: it is something else than names of tensors.
    """
    if not isinstance(parameters, dict) or not all(isinstance(key, str) and isinstance(value, Tensor)
                                                   for key, value in parameters.items()):
        raise UserError(f'{where}: expected weights, a dictionary of tensors by name, got '
                        f'{_describe(parameters)}. Save network.state_dict() there.')
    consume_prefix_in_state_dict_if_present(parameters, 'module.')
    return parameters


def _describe(value: Any) -> str:
    if not isinstance(value, dict):
        return f'a {type(value).__name__}'
    return next(f'{key!r}: {type(each).__name__}' for key, each in value.items()
                if not isinstance(key, str) or not isinstance(each, Tensor))
