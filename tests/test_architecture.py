"""The house as it is: which room may import which, no circles, small rooms, one home for each name, short functions."""

import ast
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'cface_basicsr'
MODULES = sorted(PACKAGE.rglob('*.py'))
LAYERS = (  # top to bottom: a room imports only from the layers below its own
    {'__main__'},
    {'cli'},
    {'benchmark', 'serving'},
    {'training'},
    {'report'},
    {'measuring', 'enhancing'},
    {'train', 'test'},
    {'register'},
    {'models', 'metrics', 'compat', 'exporting'},
    {'data', 'recognizers'},
    {'archs', 'losses', 'evaluation', 'zoo'},
    {'options'},
    {'files'},
    {'ops'},
    {'runtime', 'registration'},
    {'errors', 'version', '__init__'},
)
LAYER = {room: depth for depth, rooms in enumerate(reversed(LAYERS)) for room in rooms}
MOST_MODULES = 20
"""In a folder, `__init__` not counted."""
LONGEST, NINE_OF_TEN, MIDDLE = 60, 15, 6
"""Lines of the longest function, of the one that nine of ten do not exceed, and of the median one."""


def name_of(path: Path) -> str:
    """'cface_basicsr.data.store' of a file; a package is called by its folder."""
    parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


NAMES = {name_of(path): path for path in MODULES}


def room_of(name: str) -> str:
    """The first part below the package: a folder, or a module of the root."""
    return (name.split('.') + ['__init__'])[1]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module of the package) of each import, wherever in the file it is; the deepest module that exists."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        found = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: a relative import'
            found = [f'{node.module}.{alias.name}' for alias in node.names]
        for name in found:
            while name and name not in NAMES:
                name = name.rpartition('.')[0]
            if name and name != name_of(path):
                yield node.lineno, name


def test_every_room_has_a_layer_and_none_is_called_utils() -> None:
    assert {room_of(name) for name in NAMES} <= set(LAYER)
    assert not [path for path in MODULES if 'util' in path.stem]


def test_no_module_imports_from_its_own_floor_or_from_above() -> None:
    wrong = [f'{name}:{line} imports {what}' for name, path in NAMES.items() for line, what in imports(path)
             if room_of(what) != room_of(name) and LAYER[room_of(what)] >= LAYER[room_of(name)]]
    assert wrong == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    graph = {name: {what for _, what in imports(path)} for name, path in NAMES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f'a circle of imports: {" -> ".join(error.args[1])}')


def test_no_folder_holds_more_modules_than_one_can_survey() -> None:
    count = Counter(path.parent for path in MODULES if path.name != '__init__.py')
    assert {str(folder): number for folder, number in count.items() if number > MOST_MODULES} == {}


def public_names(path: Path) -> Iterator[str]:
    """The public names that a module defines at its top level."""
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
        else:
            continue
        yield from (name for name in names if not name.startswith('_'))


def test_no_public_name_is_defined_in_two_modules() -> None:
    homes = defaultdict(list)
    for name, path in NAMES.items():
        for public in set(public_names(path)) - {'command', 'main'}:
            homes[public].append(name)
    assert {public: where for public, where in homes.items() if len(where) > 1} == {}


def functions() -> Iterator[tuple[str, int]]:
    """(place, lines without the docstring) of every function."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = node.body[0]
                text = ast.get_docstring(node) is not None and first.end_lineno - first.lineno + 1
                lines = node.end_lineno - node.lineno + 1 - text
                yield f'{path.relative_to(PACKAGE)}:{node.lineno} {node.name}', lines


def test_functions_are_short() -> None:
    lengths = dict(functions())
    assert {place: length for place, length in lengths.items() if length > LONGEST} == {}
    assert statistics.median(lengths.values()) <= MIDDLE
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= NINE_OF_TEN


def test_every_argument_and_result_has_a_type() -> None:
    untyped = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ('self', 'cls')]
                if bare or node.returns is None:
                    untyped.append(f'{path.relative_to(PACKAGE)}:{node.lineno} {node.name}')
    assert untyped == []




@pytest.mark.parametrize('path', MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_and_every_public_name_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding='utf-8'))
    assert ast.get_docstring(tree) or not tree.body, 'no docstring'
    silent = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
              and not node.name.startswith('_') and ast.get_docstring(node) is None]
    assert silent == []


IMPORTERS = {
    'registration.py': 'rooms of the package, and what the user has named on the command line',
    '__init__.py': '', 'metrics/__init__.py': '', 'measuring/protocols.py': '', 'compat/table.py': '',
    'cli/main.py': '', 'compat/before_import.py': 'torchvision',
    'compat/defect.py': 'BasicSR, by the targets of the rows'}
"""The only modules that import by a name that is a value: their own modules, or what is said here. None runs a text."""


def test_no_module_is_imported_because_a_file_names_it() -> None:
    importing = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ''
            if called.rpartition('.')[2] in ('import_module', '__import__', 'run_path', 'run_module', 'load_module'):
                importing.add(path.relative_to(PACKAGE).as_posix())
            assert called not in ('eval', 'exec'), f'{path}:{node.lineno} runs a text'
    assert importing == set(IMPORTERS)


NAMED_BY_A_USER = ('cli/', 'measuring/evaluate.py', 'metrics/batchwise.py')
"""Where a recognizer may be `package.module:name`: on the command line, and in Python. Elsewhere a file names it."""


def test_a_recognizer_that_a_file_names_is_a_file() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == 'load_recognizer':
                given = ast.unparse(node.args[0])
                assert given.startswith('Path(') or given in ('path', "'dlib'") or \
                    path.relative_to(PACKAGE).as_posix().startswith(NAMED_BY_A_USER), f'{path}:{node.lineno}'


PRINTERS = {
    'cli/show.py': 'all that the commands say', 'training/process.py': 'the last words of a training, cleaned',
    'files/mat_file.py': 'JSON for the process that has started it', 'measuring/feature_cache.py': 'a folder, cleaned',
    'compat/short_errors.py': 'what `errors` has cleaned', 'compat/resume.py': 'a UserError, which is clean',
    'compat/stopping.py': 'an iteration', 'serving/app.py': 'a traceback, cleaned'}
"""The only modules that write to the terminal: names of files are part of what is said, and may hold anything."""


def test_what_is_said_is_cleaned_in_one_place() -> None:
    found = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ''
            if called in ('print', 'Console', 'typer.echo', 'typer.secho', 'sys.stdout.write', 'sys.stderr.write'):
                found.add(path.relative_to(PACKAGE).as_posix())
            assert not called.startswith('rich.') and called not in ('click.echo', 'rprint'), f'{path}:{node.lineno}'
    assert found == set(PRINTERS)


READERS = {
    'json.loads': 'files/json_file.py', 'json.load': '', 'yaml.load': 'files/yaml_file.py', 'yaml.safe_load': '',
    'np.load': '', 'np.fromfile': '', 'np.genfromtxt': '', 'np.memmap': 'files/array_file.py files/store_pages.py',
    'scipy.io.loadmat': 'files/mat_file.py', 'safe_open': 'files/safetensors_file.py', 'lmdb.open':
    'files/face_store.py files/store_writer.py', 'zipfile.ZipFile': 'files/array_file.py files/torch_file.py',
    'torch.load': '',
    'torch.serialization.load': 'files/torch_file.py',
    'onnx.load': 'files/recognizer_file.py archs/onnx_recognizer_arch.py',
    'Image.open': 'files/face_store.py data/images/face_crop.py', 'cv2.imread': '',
    'cv2.imdecode': 'files/face_store.py data/images/face_crop.py', 'av.open': 'enhancing/video.py',
    'onnxruntime.InferenceSession': 'zoo/onnx_network.py', 'np.loadtxt': 'data/archives/recordio.py',
    'csv.reader': 'files/text_file.py', 'net.ParseFromString': 'recognizers/sphereface20.py',
    **dict.fromkeys(('torch.jit.load', 'yaml.full_load', 'yaml.unsafe_load', 'cv2.VideoCapture', 'csv.DictReader'), '')}
"""A function that reads a kind of file -> the only modules that may call it, where its limits are."""


MODULE_OF = {'numpy': 'np', 'PIL.Image': 'Image'}


def test_each_kind_of_file_is_read_in_one_place() -> None:
    found = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ''
            if isinstance(node, ast.ImportFrom):
                bare = {f'{MODULE_OF.get(node.module, node.module)}.{alias.name}' for alias in node.names}
                assert not bare & set(READERS), f'{path}:{node.lineno} hides a reader behind a short name'
            own_text = called == 'json.loads' and isinstance(node.args[0], ast.Call)  # what was dumped in the same line
            if called in READERS and not own_text:
                found.add((called, path.relative_to(PACKAGE).as_posix()))
    allowed = {(called, where) for called, places in READERS.items() for where in places.split()}
    assert found <= allowed, found - allowed
    assert {called for called, _ in found} == {called for called, places in READERS.items() if places}


READ_WHOLE = {
    'files/text_file.py': 'what is not too large', 'files/key_list.py': 'meta_info.txt in another order',
    'files/safetensors_file.py': 'what the library has read', 'cli/options.py': 'what read_yaml has read',
    'options/shipped.py': 'option files', 'report/published.py': 'of the package', 'serving/app.py': 'of the package',
    'measuring/feature_cache.py': 'of the package', 'report/page.py': 'a figure of ours',
    'cli/benchmark.py': 'a report of ours', 'training/process.py': 'a log of ours',
    'data/compare_index.py': 'a counter of ours', 'data/prepare/packing.py': 'a journal of ours',
    'compat/installed.py': 'modules of BasicSR', 'runtime.py': 'of the kernel', 'training/view.py': 'of the kernel'}
"""The only modules with `path.read_bytes()` or `path.read_text()`, which take whatever size a file has, and of what."""


def test_what_comes_from_outside_is_not_read_whatever_its_size() -> None:
    found = {path.relative_to(PACKAGE).as_posix() for path in MODULES
             for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
             and node.func.attr in ('read_bytes', 'read_text')}
    assert found == set(READ_WHOLE)


WRITTEN_IN_PLACE = {
    'training/process.py': 'logs', 'data/prepare/packing.py': 'a journal, whose last line may be incomplete',
    'benchmark/throughput.py': 'networks in a temporary folder', 'data/unpacked_store.py': 'in a folder aside',
    'evaluation/features_file.py': 'two files aside, which belong together'}
"""The only modules that write to another name than one aside; see `files/atomic.py`."""


def test_files_are_written_aside_and_renamed_in_one_place() -> None:
    in_place = set()
    for path in MODULES:
        where = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ''
            writes = called == 'open' and set(ast.unparse(node.args[1]) if node.args[1:] else '') & set('wax+') \
                or called in ('shutil.copyfile', 'shutil.copy', 'torch.save', 'cv2.imwrite') \
                or '.' in called and called.rpartition('.')[2] in ('write_text', 'write_bytes')
            if writes and not {'aside', 'hashed'} & {name.id if isinstance(name, ast.Name) else name.attr
                                                    for name in ast.walk(node)
                                                    if isinstance(name, (ast.Name, ast.Attribute))}:
                in_place.add(where)
            assert where == 'files/atomic.py' or called not in ('os.replace', 'os.rename', 'shutil.move') and \
                not called.endswith('.rename'), f'{path}:{node.lineno}'
    assert in_place == set(WRITTEN_IN_PLACE)
