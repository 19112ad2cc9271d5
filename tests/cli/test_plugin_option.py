"""`--plugin` on every command that takes it: a network of a user's module is known with it, and unknown without."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import Command
from torch import nn
from typer.main import get_command
from typer.testing import CliRunner

from cface_basicsr import registration
from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import save_atomically
from tests.compat.tiny_training import REPOSITORY
from tests.small_data import write_small_data
from tests.tiny_benchmark import tiny_benchmark, write_benchmark, write_tiny_faces
from tests.tiny_stages import write_recognizer

MODULE, NETWORK = 'nets_of_a_user', {'type': 'NetOfAUser', 'upscale': 8}
NETS = '''
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

@ARCH_REGISTRY.register()
class NetOfAUser(nn.Sequential):
    def __init__(self, upscale=4):
        super().__init__(nn.Conv2d(3, 3 * upscale ** 2, 3, padding=1), nn.PixelShuffle(upscale))
'''


class Begun(Exception):
    """The steps of a recipe would begin now."""


def weights(folder: Path) -> str:
    network = nn.Sequential(nn.Conv2d(3, 3 * 64, 3, padding=1), nn.PixelShuffle(8))
    save_atomically({'params': network.state_dict(), 'network': NETWORK}, folder / 'net_g.pth')
    return 'net_g.pth'


def recipe(folder: Path) -> str:
    step = {'options': str(REPOSITORY / 'options/baselines/edsr_x8.yml'), 'set': {'network_g': NETWORK}}
    (folder / 'recipe.yml').write_text(yaml.safe_dump({'name': 'r', 'scale': 8, 'data': 'data', 'steps': {'g': step}}))
    write_tiny_faces(folder)
    return 'recipe.yml'


def benchmark(folder: Path) -> str:
    row = {'of': 'EDSR', 'backbone': NETWORK}
    write_benchmark(write_tiny_faces(folder), tiny_benchmark(systems='all', variants={'Mine': row}, set={}, shares={}))
    return 'b.yml'


def option_file(folder: Path) -> str:
    text = (REPOSITORY / 'options/baselines/edsr_x8.yml').read_text()
    (folder / 'edsr.yml').write_text(text.replace('cface_basicsr.register.NAME', f'{MODULE}.NetOfAUser'))
    return 'edsr.yml'


def faces(folder: Path) -> str:
    return str(write_small_data(folder / 'faces', identities=4, images=3).relative_to(folder))


def photo(folder: Path) -> str:
    from cface_basicsr.data.images.face_images import write_face
    from tests.small_data import smooth_images
    write_face(folder / 'face.png', smooth_images(1, seed=0, size=16)[0], overwrite=True)
    return 'face.png'


WORDS: dict[str, Callable[[Path], list[str]]] = {
    'train': lambda folder: ['train', recipe(folder)],
    'demo': lambda folder: ['demo', '--recipe', recipe(folder), '--identities', '4', '--images', '2', '--holdout', '2'],
    'benchmark': lambda folder: ['benchmark', benchmark(folder), '--plan'],
    'ablate': lambda folder: ['ablate', 'loss', '--file', benchmark(folder), '--plan'],
    'options show': lambda folder: ['options', 'show', option_file(folder)],
    'generate': lambda folder: ['generate', faces(folder), '--weights', weights(folder)],
    'evaluate': lambda folder: ['evaluate', 'pairs', faces(folder), '--weights', weights(folder), '--folds', '2',
                                '--recognizer', str(write_recognizer(folder / 'net_r.pth')), '--out', 'results.json'],
    'enhance': lambda folder: ['enhance', photo(folder), '--weights', weights(folder), '--faces', 'crop', '--out', 'o'],
    'export': lambda folder: ['export', weights(folder), '--format', 'safetensors', '--out', 'net.safetensors']}
"""Command -> what it is told, in a folder with files that name a network of the module."""


def commands(command: Any, name: str = '') -> Iterator[tuple[str, Command]]:
    """Every command below one, by its name."""
    for part, below in getattr(command, 'commands', {}).items():
        yield from commands(below, f'{name} {part}'.strip())
    if not hasattr(command, 'commands'):
        yield name, command


def test_each_command_that_takes_a_plugin_is_tested_with_one() -> None:
    taking = {name for name, command in commands(get_command(app))
              if any('--plugin' in parameter.opts for parameter in command.params)}
    assert taking == WORDS.keys()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with the module in it; nothing stays registered."""
    from basicsr.utils.registry import ARCH_REGISTRY
    (tmp_path / f'{MODULE}.py').write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.setattr(registration, '_admitted', list(registration._admitted))
    yield tmp_path
    sys.modules.pop(MODULE, None)
    ARCH_REGISTRY._obj_map.pop('NetOfAUser', None)


@pytest.mark.parametrize('command', WORDS)
def test_a_network_of_a_users_module_is_known_with_it_and_unknown_without(
        folder: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(recipe: Any, *given: Any) -> None:
        recipe.check_options()
        raise Begun
    monkeypatch.setattr('cface_basicsr.training.steps.run_steps', begin)
    words = WORDS[command](folder)
    without = CliRunner().invoke(app, words)
    assert isinstance(without.exception, UserError) and MODULE not in sys.modules
    assert 'NetOfAUser' in str(without.exception) or f'--plugin {MODULE}' in str(without.exception)
    done = CliRunner().invoke(app, [*words, '--plugin', MODULE])
    assert isinstance(done.exception, Begun) if command in ('train', 'demo') else done.exit_code == 0, done.exception
