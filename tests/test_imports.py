"""What an import costs and brings: the library works with torch and without BasicSR; each case in a fresh process."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cface_basicsr.data.generated_faces.render import render_photo
from cface_basicsr.files.network_file import build_network, save_atomically
from tests.small_data import smooth_images, write_small_data
from tests.zoo.made_up_networks import write_zoo

HEAVY = ('basicsr', 'torch._dynamo', 'scipy.stats')
ROOMS = ('ops', 'losses', 'archs', 'evaluation', 'recognizers', 'files', 'metrics', 'data')
GENERATOR = {'type': 'SRResNet', 'scale': 8, 'num_feat': 4, 'num_block': 1}
RECOGNIZER = {'type': 'SphereFace20', 'input_size': [128, 128], 'num_feat': 2, 'feature_length': 8,
              'blocks': [1, 1, 1, 1]}


def imported_by(code: str, heavy: tuple[str, ...] = HEAVY) -> set[str]:
    """Which of the heavy modules are there after a piece of code has run in a new process."""
    code += f"\nimport sys; print('seen:', *[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


NOT_INSTALLED = """
import importlib.metadata, sys
version = importlib.metadata.version
def without_basicsr(name):
    if name == 'basicsr':
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
importlib.metadata.version = without_basicsr
sys.modules['basicsr'] = None  # an import of it fails
"""


def imported_by_command(*arguments: object, before: str = '', heavy: tuple[str, ...] = HEAVY) -> set[str]:
    return imported_by(f"""{before}
import sys
sys.argv = ['cface', *{[str(argument) for argument in arguments]!r}]
from cface_basicsr.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
""", heavy)


def test_importing_the_package_imports_nothing_but_python_and_itself() -> None:
    code = """
import sys
before = set(sys.modules)
import cface_basicsr
print(*{name.partition('.')[0] for name in set(sys.modules) - before} - {*sys.stdlib_module_names, 'cface_basicsr'})
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout == '\n'


@pytest.mark.parametrize('room', ROOMS)
def test_no_module_of_a_room_of_the_library_needs_basicsr(room: str) -> None:
    assert imported_by(f"""
import importlib, pkgutil, sys
sys.modules['torchmetrics'] = None  # where it is installed, our metrics are its, and it is heavy
package = importlib.import_module('cface_basicsr.{room}')
for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):
    importlib.import_module(module.name)
""") == set()


HEAVIEST = ('torch', 'torch._dynamo', 'facexlib', 'basicsr', 'cv2', 'scipy', 'matplotlib', 'onnx')


@pytest.mark.parametrize('code', [
    'import cface_basicsr',
    'from typer.testing import CliRunner; from cface_basicsr.cli.main import app; '
    "assert 'enhance' in CliRunner().invoke(app, ['--help']).output",
    'from typer.testing import CliRunner; from cface_basicsr.cli.main import app; '
    "assert '--reference' in CliRunner().invoke(app, ['enhance', '--help']).output"])
def test_neither_the_package_nor_help_imports_what_only_work_needs(code: str) -> None:
    assert imported_by(code, HEAVIEST) == set()


@pytest.mark.parametrize('room', [*ROOMS, 'zoo', 'enhancing', 'exporting', 'serving', 'measuring'])
def test_no_module_imports_facexlib_before_a_face_is_looked_for(room: str) -> None:
    assert imported_by(f"""
import importlib, pkgutil, sys
package = importlib.import_module('cface_basicsr.{room}')
for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):
    importlib.import_module(module.name)
""", ('facexlib',)) == set()


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of small data, a generator, a recognizer and one low-resolution face."""
    folder = write_small_data(tmp_path_factory.mktemp('data'), identities=4, images=3)
    for name, options in (('net_g', GENERATOR), ('net_r', RECOGNIZER)):
        save_atomically({'params': build_network(options).state_dict(), 'network': options}, folder / f'{name}.pth')
    Image.fromarray(smooth_images(1, seed=5, size=16)[0]).save(folder / 'face.png')
    return folder


def test_no_command_that_uses_a_trained_network_needs_basicsr(folder: Path, tmp_path: Path) -> None:
    weights, recognizer = ('--weights', folder / 'net_g.pth'), ('--recognizer', folder / 'net_r.pth')
    assert imported_by_command('enhance', folder / 'face.png', *weights, '--out', tmp_path / 'out') == set()
    of_the_package = ('--weights', 'cface-x8', '--out', tmp_path / 'x8')
    assert imported_by_command('enhance', folder / 'face.png', *of_the_package) == set()
    assert imported_by_command('index', folder, *recognizer, '--k', 2) == set()
    assert imported_by_command('generate', folder, *weights) == set()
    assert imported_by_command('evaluate', 'pairs', folder, *recognizer, *weights, '--folds', 2, '--pairs-per-fold',
                               4) == set()


def test_facexlib_is_imported_for_a_photograph_and_not_for_a_crop(folder: Path, tmp_path: Path) -> None:
    Image.fromarray(render_photo(0, 0)).resize((60, 60)).save(tmp_path / 'photo.png')
    for image, faces, seen in ((folder / 'face.png', 'crop', set()), (tmp_path / 'photo.png', 'photo', {'facexlib'})):
        assert imported_by_command('enhance', image, '--weights', 'cface-x4', '--faces', faces, '--out',
                                   tmp_path / faces, heavy=('facexlib', 'basicsr')) == seen


def test_results_are_measured_where_basicsr_is_not_even_installed(folder: Path) -> None:
    seen = imported_by_command('evaluate', 'pairs', folder, '--recognizer', folder / 'net_r.pth', '--weights',
                               folder / 'net_g.pth', '--folds', 2, '--pairs-per-fold', 4, before=NOT_INSTALLED)
    assert seen == {'basicsr'}  # the entry that keeps it out


def test_a_network_that_is_basicsrs_own_brings_basicsr(folder: Path, tmp_path: Path) -> None:
    """The counterpart of the test above: it would see BasicSR if it were there."""
    options = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': 8}
    save_atomically({'params': build_network(options).state_dict(), 'network': options}, tmp_path / 'edsr.pth')
    assert 'basicsr' in imported_by_command('enhance', folder / 'face.png', '--weights', tmp_path / 'edsr.pth',
                                            '--out', tmp_path / 'out')


def test_reading_a_network_file_changes_nothing_in_the_process(folder: Path) -> None:
    code = f"""
import ctypes, sys
from cface_basicsr import runtime
runtime.start_computing = lambda: sys.exit('the allocator was changed')
sys.argv = ['anything', '-opt', 'missing.yml']
from cface_basicsr.files.network_file import build_network_from_file
build_network_from_file({str(folder / 'net_g.pth')!r})
assert 'cface_basicsr.compat' not in sys.modules and 'cface_basicsr.register' not in sys.modules
"""
    assert imported_by(code) == set()


def test_the_public_names_are_there_and_no_others() -> None:
    import cface_basicsr
    from cface_basicsr.losses.cface_loss import CFaceLoss
    assert cface_basicsr.CFaceLoss is CFaceLoss
    assert all(getattr(cface_basicsr, name) is not None for name in cface_basicsr.__all__)
    assert set(cface_basicsr.__all__) <= set(dir(cface_basicsr))
    with pytest.raises(AttributeError, match="'cface_basicsr' has no attribute 'CFaceLos'"):
        cface_basicsr.CFaceLos  # noqa: B018


@pytest.mark.parametrize('name', ['benchmark', 'enhance', 'evaluate', 'features', 'generate', 'index', 'train'])
def test_a_command_that_computes_asks_for_the_allocator_setting_itself(name: str) -> None:
    from cface_basicsr.cli.main import COMMANDS
    path = Path(__file__).parents[1] / 'cface_basicsr' / 'cli' / f'{COMMANDS[name].replace(".", "/")}.py'
    source = path.read_text(encoding='utf-8')
    assert source.count('    start_computing()\n') == 1


def test_networks_are_listed_described_and_fetched_where_torch_cannot_even_be_imported(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import takes longer than all the rest of these commands."""
    write_zoo(tmp_path / 'from')
    monkeypatch.setenv('CFACE_HOME', str(tmp_path / 'home'))
    get = ['get', 'tiny-x8', '--from', tmp_path / 'from']
    for words in (get, get, ['list'], ['info', 'tiny-x8']):
        assert imported_by_command('models', *words, before="import sys; sys.modules['torch'] = None") == set()
    assert (tmp_path / 'home' / 'networks' / 'tiny-x8.safetensors').is_file()


REFUSED = {
    'enhance nowhere.png --out out': "'nowhere.png' is missing",
    'enhance nowhere.mp4 --out out': "'nowhere.mp4' is missing",
    'enhance empty --out out': "'empty' holds no images",
    'enhance face.png --out a_file': "a_file' is a file, not a folder",
    'enhance face.png --out a_file/below/it': "a_file' is a file, not a folder",
    'enhance face.png --out out --save image,zip': "--save: expected some of .*, got 'image,zip'",
    'enhance face.png --out out --weights cface-x9': "network 'cface-x9' is missing: .* did you mean 'cface-x8'",
    'enhance face.png --out out --weights nowhere.pth': "weights file 'nowhere.pth' is missing",
    'enhance face.png --out out --upscale 2 --background cface-x9': "network 'cface-x9' is missing",
    'enhance face.png --out out --background cface-x4': '--background .* needs --upscale 2',
    'enhance face.png --out out --detect-scale much': "--detect-scale: expected numbers .*, got 'much'",
    'enhance face.png --out out --detect-scale 2.5': '--detect-scale: expected whole numbers .*, got 2.5',
    'enhance face.png --out out --min-face 50 --max-face 20': 'expected 0 < --min-face <= --max-face, got 50 and 20',
    'enhance face.png --out out --gate keep': '--gate .*: give them by --reference DIR',
    'enhance face.png --out out --faces photo --reference nowhere': "'nowhere' is missing",
    'enhance face.png --out out --faces photo --reference empty': "'empty' holds no images",
    'enhance face.png --out out --evidence': "'face.png' is a face crop",
    'enhance video.mp4 --out out --save json': "'video.mp4' is a video, which gets no record",
    'export nowhere.pth --out net.onnx': "weights file 'nowhere.pth' is missing",
    'export cface-x9 --out net.onnx': "network 'cface-x9' is missing",
    'export net_g.pth --out net.txt': 'expected a name that ends in .onnx',
    'export net_g.pth --out net.onnx --faces empty': "'empty' holds no images",
    'export net_g.pth --out net_g.pth --format hub --card nowhere.yml': "'net_g.pth' exists",
    'export net_g.pth --out hub --format hub': "'net_g.pth' has no card",
    'export net_g.pth --out hub --format hub --card nowhere.yml': "card 'nowhere.yml' is missing",
    'export cface-x8 --out hub --format hub --results nowhere.json': "'nowhere.json' is missing",
    'evaluate pairs nowhere --recognizer dlib': "'nowhere' is missing. Expected a folder made by `cface prepare",
    'evaluate pairs . --recognizer nowhere.pth': "recognizer 'nowhere.pth' is missing",
    'evaluate pairs . --recognizer dlib --weights nowhere.pth': "'nowhere.pth' is missing",
    'evaluate pairs . --features nowhere.npy': "'nowhere.npy' is missing",
    'evaluate --compare nowhere.json nowhere.json': "'nowhere.json' is missing",
    'index nowhere --recognizer dlib': "'nowhere' is missing. Expected a table",
    'index . --recognizer nowhere.pth': "recognizer 'nowhere.pth' is missing",
    'features nowhere --recognizer dlib --out f.npy': "'nowhere/hr.lmdb' is missing",
    'features . --recognizer nowhere.pth --out f.npy': "recognizer 'nowhere.pth' is missing",
    'features . --recognizer dlib --out f.txt': 'expected a name that ends in .npy',
    'generate . --weights nowhere.pth': "weights file 'nowhere.pth' is missing",
}


@pytest.mark.parametrize('words', REFUSED)
def test_what_arguments_show_to_be_wrong_is_refused_where_torch_cannot_even_be_imported(
        folder: Path, words: str, tmp_path: Path) -> None:
    """Its import takes longer than all the rest of a refusal."""
    for each in ('face.png', 'net_g.pth', 'identities.csv', 'hr.lmdb'):
        (tmp_path / each).symlink_to(folder / each)
    (tmp_path / 'empty').mkdir()
    for each in ('a_file', 'video.mp4'):
        (tmp_path / each).touch()
    code = f"""
import sys; sys.modules['torch'] = None
sys.argv = ['cface', *{words.split()!r}]
from cface_basicsr.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, '')
    assert re.match(f'cface: .*{REFUSED[words]}', done.stderr), done.stderr
    assert not (tmp_path / 'out').exists()
