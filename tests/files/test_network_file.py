"""Network files: every reader says the same of one that does not fit, and all that fits is loaded."""

import errno
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import (
    build_network,
    build_network_from_file,
    load_weights,
    read_network_file,
    save_atomically,
    template_in,
)
from cface_basicsr.recognizers.load import load_recognizer
from cface_basicsr.registration import offered
from tests.narrow import narrow
from tests.small_data import write_small_data

GENERATOR = {'type': 'SRResNet', 'scale': 8, 'num_feat': 4, 'num_block': 1}
RECOGNIZER = {'type': 'SphereFace20', 'input_size': [128, 128], 'num_feat': 2, 'feature_length': 8,
              'blocks': [1, 1, 1, 1]}
Change = Callable[[dict[str, Any]], object]


def write(path: Path, options: dict[str, Any] = GENERATOR, change: Change = lambda content: None) -> Path:
    """A network file with random weights, changed."""
    torch.manual_seed(0)
    content = {'params': build_network(options).state_dict(), 'network': dict(options)}
    change(content)
    torch.save(content, path)
    return path


def put(entry: str, value: Any) -> Change:
    return lambda content: content.__setitem__(entry, value)


def option(key: str, value: Any) -> Change:
    return lambda content: content['network'].__setitem__(key, value)


def weights(change: Callable[[dict[str, Tensor]], dict[str, Any]]) -> Change:
    return lambda content: content.__setitem__('params', change(dict(content['params'])))


def one(value: Any) -> Callable[[dict[str, Tensor]], dict[str, Any]]:
    """The first weight replaced."""
    return lambda params: params | {next(iter(params)): value}


HARMLESS = {
    'module.': weights(lambda params: {f'module.{key}': value for key, value in params.items()}),
    'no average': put('params_ema', None),
    'half precision': weights(lambda params: {key: value.half() for key, value in params.items()}),
    'more entries': put('epoch', 3)}
WEIGHTS = {
    'narrow': weights(lambda params: {key: value[:, :1] if value.ndim == 4 else value
                                      for key, value in params.items()}),
    'one is missing': weights(lambda params: dict(list(params.items())[1:])),
    'one too many': weights(lambda params: params | {'other': torch.zeros(1)}),
    'prefix': weights(lambda params: {f'generator.{key}': value for key, value in params.items()}),
    'a number': weights(one(3)), 'null': weights(one(None)), 'a list': weights(lambda params: list(params.values())),
    'number as name': weights(lambda params: params | {1: torch.zeros(1)}),
    'nested': weights(lambda params: {'g': params}),
    'whole numbers': weights(lambda params: {key: value.int() for key, value in params.items()}),
    'complex': weights(lambda params: {key: value.to(torch.complex64) for key, value in params.items()}),
    'tensor': put('params', torch.zeros(3)), 'none at all': weights(lambda params: {}),
    'params null': put('params', None), 'no params': lambda content: content.pop('params'),
    'numpy inside': put('best', np.float64(0.5))}
"""Files whose weights cannot be loaded."""
OPTIONS = {
    'unknown network': option('type', 'SRResnet2'), 'unknown key': option('num_fet', 4),
    'type null': option('type', None), 'no type': lambda content: content['network'].pop('type'),
    'number as key': option(3, 4), 'text for a number': option('num_feat', '4'), 'other width': option('num_feat', 8),
    'no scale': option('scale', None), 'no network': lambda content: content.pop('network'),
    'network null': put('network', None), 'network by name': put('network', 'SRResNet')}
"""Files that do not say which network they hold, or say it wrongly."""


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        read()
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


@pytest.mark.parametrize('change', HARMLESS.values(), ids=HARMLESS)
def test_what_fits_is_loaded(tmp_path: Path, change: Change) -> None:
    path = write(tmp_path / 'net.pth', change=change)
    torch.manual_seed(0)
    wanted = build_network(GENERATOR).state_dict()
    found, into = build_network_from_file(path).state_dict(), build_network(GENERATOR)
    assert load_weights(into, path) == []
    for state in (found, into.state_dict()):
        assert all(torch.allclose(state[key], value, atol=1e-3) for key, value in wanted.items())


def test_the_average_is_taken_where_there_is_one_and_another_entry_where_it_is_named(tmp_path: Path) -> None:
    average = {key: value + 1 for key, value in build_network(GENERATOR).state_dict().items()}
    path = write(tmp_path / 'net.pth', change=put('params_ema', average))
    assert torch.equal(build_network_from_file(path).state_dict()['head.0.weight'], average['head.0.weight'])
    network = build_network(GENERATOR)
    load_weights(network, path, ('params',))
    assert not torch.equal(network.state_dict()['head.0.weight'], average['head.0.weight'])
    assert "has no entry 'params_d'" in refused(lambda: load_weights(network, path, ('params_d',)))


@pytest.mark.parametrize('change', WEIGHTS.values(), ids=WEIGHTS)
def test_enhance_and_each_training_say_the_same_of_weights_that_do_not_fit(tmp_path: Path, change: Change) -> None:
    from basicsr.models.base_model import BaseModel

    import cface_basicsr.register  # noqa: F401
    from cface_basicsr.models.stage import StageModel
    path = write(tmp_path / 'net.pth', change=change)
    said = refused(lambda: build_network_from_file(path))
    assert str(path) in said
    for model in (StageModel, BaseModel):
        assert refused(lambda model=model: model({'num_gpu': 0, 'is_train': True}).load_network(
            build_network(GENERATOR), str(path))) == said, model


@pytest.mark.parametrize('change', OPTIONS.values(), ids=OPTIONS)
def test_a_file_that_says_wrongly_which_network_it_holds_is_named(tmp_path: Path, change: Change) -> None:
    path = write(tmp_path / 'net.pth', change=change)
    assert str(path) in refused(lambda: build_network_from_file(path))


def test_the_message_names_the_option_or_the_weight_and_what_is_near(tmp_path: Path) -> None:
    said = {name: refused(lambda change=change: build_network_from_file(write(tmp_path / 'n.pth', change=change)))
            .replace(f"weights file '{tmp_path}/n.pth'", 'FILE') for name, change in (WEIGHTS | OPTIONS).items()}
    assert said['unknown network'] == "FILE, entry 'network': network 'SRResnet2' is unknown; did you mean 'SRResNet'?"
    assert said['unknown key'] == "FILE, entry 'network': SRResNet has no argument 'num_fet'; did you mean 'num_feat'?"
    assert said['text for a number'].startswith("FILE, entry 'network': SRResNet cannot be built from ")
    assert said['one is missing'] == 'FILE does not fit SRResNet: Missing key(s) in state_dict: "head.0.weight".'
    assert said['one too many'] == 'FILE does not fit SRResNet: Unexpected key(s) in state_dict: "other".'
    assert said['narrow'].startswith('FILE does not fit SRResNet: size mismatch for head.0.weight')
    assert said['a number'] == ("FILE: expected weights, a dictionary of tensors by name, got 'head.0.weight': int. "
                                'Save network.state_dict() there.')
    assert said['no params'] == "FILE has no entry 'params'; found: network."
    assert said['params null'] == "FILE has no entry 'params'; found: params, network."


def test_without_strictness_what_fits_is_loaded_and_the_rest_is_told(tmp_path: Path) -> None:
    smaller = write(tmp_path / 'x2.pth', {**GENERATOR, 'scale': 2})
    network = build_network(GENERATOR)
    head = network.state_dict()['head.0.weight'].clone()
    left = load_weights(network, smaller, strict=False)
    assert left and set(left) < set(network.state_dict()) and 'head.0.weight' not in left
    assert not torch.equal(network.state_dict()['head.0.weight'], head)
    other = write(tmp_path / 'r.pth', RECOGNIZER)
    assert 'no tensor in it has a name and shape' in refused(lambda: load_weights(network, other, strict=False))


@pytest.mark.parametrize('name', sorted(offered('archs')))
def test_no_value_of_an_option_ends_in_a_traceback(name: str) -> None:
    kind = offered('archs')[name]
    for key in inspect.signature(kind).parameters:
        for value in ('text', None, [], {}, -1, 0, float('nan'), True):
            try:
                build_network(narrow({'type': name}) | {key: value})
            except UserError as error:
                assert len(str(error).splitlines()) <= 3, (key, value)


# ----------------------------------------------------------------------------------------------------- through commands

@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder, a face, and networks that fit."""
    folder = write_small_data(tmp_path_factory.mktemp('data') / 'data', identities=4, images=2)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(folder / 'face.png')
    write(folder / 'net_g.pth')
    write(folder / 'net_r.pth', RECOGNIZER)
    return folder


COMMANDS = {
    'enhance': ('enhance', 'face.png', '--out', 'out', '--weights', 'BAD'),
    'generate': ('generate', '.', '--weights', 'BAD'),
    'evaluate, generator': ('evaluate', 'pairs', '.', '--recognizer', 'net_r.pth', '--weights', 'BAD'),
    'evaluate, recognizer': ('evaluate', 'pairs', '.', '--weights', 'net_g.pth', '--recognizer', 'BAD'),
    'index': ('index', '.', '--recognizer', 'BAD'),
    'convert': ('convert', 'BAD', 'out.pth')}


@pytest.mark.parametrize('words', COMMANDS.values(), ids=COMMANDS)
def test_each_command_that_takes_a_network_file_names_it_in_its_refusal(
        data: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    of_recognizer = 'BAD' in words and words[words.index('BAD') - 1] in ('--recognizer', 'convert')
    for name, change in (WEIGHTS | OPTIONS).items():
        write(data / 'bad.pth', RECOGNIZER if of_recognizer else GENERATOR, change)
        done = CliRunner().invoke(app, [word.replace('BAD', 'bad.pth') for word in words])
        assert isinstance(done.exception, UserError), (name, done.output, done.exception)
        assert 'bad.pth' in str(done.exception), (name, done.exception)


def test_a_recognizer_saved_by_data_parallel_gives_the_features_of_the_bare_one(tmp_path: Path) -> None:
    bare = load_recognizer(write(tmp_path / 'a.pth', RECOGNIZER))
    wrapped = load_recognizer(write(tmp_path / 'b.pth', RECOGNIZER, HARMLESS['module.']))
    faces = torch.rand(2, 3, 128, 128)
    assert torch.equal(bare(faces), wrapped(faces))


# -------------------------------------------------------------------------------------------------------------- writing

def test_equal_contents_give_equal_files_whatever_their_names_and_the_identity_of_their_texts(tmp_path: Path) -> None:
    """Pickle writes a text that it has met before as a reference; an equal one that is another object, in full."""
    def content(parts: list[str]) -> dict[str, Any]:
        name = ''.join(parts)
        return {'params': {'weight': torch.ones(3)}, 'names': [name, ''.join(parts) if len(parts) > 1 else name]}
    hashes = [save_atomically(content(parts), tmp_path / name)
              for parts, name in ((['abc'], 'one.pth'), (['a', 'bc'], 'another.pth'))]
    assert hashes[0] == hashes[1] == file_hash(tmp_path / 'one.pth', 64) == file_hash(tmp_path / 'another.pth', 64)
    assert read_network_file(tmp_path / 'one.pth')['params']['weight'].tolist() == [1, 1, 1]


def test_a_file_and_its_name_are_flushed_to_the_disk_in_this_order(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, 'fsync', lambda file: (done.append(os.fstat(file).st_ino), fsync(file)))
    monkeypatch.setattr(os, 'replace', lambda old, new: (done.append('renamed'), replace(old, new)))
    save_atomically({'params': {}}, tmp_path / 'a.pth')
    assert done == [(tmp_path / 'a.pth').stat().st_ino, 'renamed', tmp_path.stat().st_ino]


def test_a_full_disk_is_noticed_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, weights = tmp_path / 'a.pth', torch.zeros(1000)
    save_atomically({'params': {'one': weights, 'shared': weights[:500]}}, path)
    before, asked = path.read_bytes(), []

    def full(file: int, start: int, size: int) -> None:
        asked.append(size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(os, 'posix_fallocate', full)
    monkeypatch.setattr(torch, 'save', lambda *_: pytest.fail('it was written to'))
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        save_atomically({'params': {'one': weights, 'shared': weights[:500]}}, path)
    assert asked == [4000] and path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_file_that_says_something_unknown_about_the_crop_of_its_faces_is_refused() -> None:
    assert template_in({}, 'net_g.pth') is None and template_in({'template': 'dlib'}, 'net_g.pth') == 'dlib'
    for value in ('Arcface', ['arcface'], 1):
        with pytest.raises(UserError, match="'net_g.pth', entry 'template': expected one of center, arcface, spheref"):
            template_in({'template': value}, 'net_g.pth')
