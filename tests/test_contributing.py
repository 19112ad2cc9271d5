"""The worked examples of CONTRIBUTING.md, applied to a copy of the tree: the structural tests hold there."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.evaluation.features_file import write_features
from cface_basicsr.files.identities import read_identities
from tests.small_data import write_small_data

ROOT = Path(__file__).parents[1]
STRUCTURAL = ('tests/test_architecture.py', 'tests/test_words.py', 'tests/test_docstrings.py', 'tests/test_registry.py',
              'tests/options/test_sections.py',
              *(f'tests/test_docs.py::test_what_is_printed_from_the_code_is_in_its_page[make_{page}]'
                for page in ('options', 'commands', 'protocols')),
              'tests/test_docs.py::test_the_schemas_for_editors_are_those_of_the_types',
              'tests/test_docs.py::test_the_page_of_options_has_every_section_with_each_of_its_keys')


def snippets(heading: str) -> list[str]:
    """The indented blocks of a section, without their indentation."""
    text = (ROOT / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    section = re.search(rf'^## {heading}\n(.*?)(?=^## |\Z)', text, re.M | re.S)[1]
    return [textwrap.dedent(block).strip('\n') + '\n' for block in re.findall(r'(?:^ {7,}.*\n|^\n)+', section, re.M)
            if block.strip()]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the suite looks at."""
    tree = tmp_path / 'tree'
    for name in ('cface_basicsr', 'docs', 'options', 'performance', 'scripts', 'tests'):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns('__pycache__'))
    for path in filter(Path.is_file, ROOT.iterdir()):
        shutil.copy(path, tree)
    return tree


def written(tree: Path) -> list[str]:
    """The files that an example adds or changes; what a script prints, in docs/ and options/schema/, does not count."""
    files = [path.relative_to(tree) for room in ('cface_basicsr', 'options', 'tests')
             for path in (tree / room).rglob('*') if path.suffix in ('.py', '.yml')]
    return [str(path) for path in files
            if not (ROOT / path).is_file() or (ROOT / path).read_bytes() != (tree / path).read_bytes()]


def insert(path: Path, before: str, code: str, indent: int) -> None:
    """Put code before the only line of a file that is like this."""
    text = path.read_text(encoding='utf-8')
    assert text.count(before) == 1, f'{path}: {before!r}'
    path.write_text(text.replace(before, textwrap.indent(code, ' ' * indent) + before), encoding='utf-8')


def run(tree: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=tree, env={**os.environ, 'PYTHONPATH': str(tree)},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


TRAIN = '''
import sys
from pathlib import Path
from cface_basicsr.errors import UserError
from tests.conftest import *
from tests.tiny_stages import parsed, stage_options, train_one_step, write_tiny_data

folder = Path(sys.argv[1])
data = write_tiny_data(folder / 'data')
changes = {'datasets': {'train': {'compare_mode': 'none'}},
           'train': {'cface_opt': None, 'angle_opt': {'type': 'AngleLoss', 'loss_weight': 0.1}}}
both = train_one_step(stage_options(1, data, {'train': {'angle_opt': {'type': 'AngleLoss'}}}), folder / 'both')
both = both.get_current_log()
assert {'l_g_angle', 'l_cf_self', 'l_cf_compare'} <= set(both), both
for stage in (1, 4):
    log = train_one_step(stage_options(stage, data, changes), folder / f'stage{stage}').get_current_log()
    assert 0 < log['l_g_angle'] < 0.32 and 'l_cf_self' not in log, log
for change, message in (({'network_r': None}, "'train.angle_opt' needs 'network_r', which is missing"),
                        ({'path': {'pretrain_network_r': None}}, "'train.angle_opt' needs a trained recognizer")):
    try:
        parsed(stage_options(1, data, {**changes, **change}), folder / 'refused')
    except UserError as error:
        assert message in str(error), error
    else:
        raise AssertionError(change)
'''


@pytest.mark.slow
def test_a_loss_of_features_is_added_and_trains_without_the_c_face_loss(tree: Path, tmp_path: Path) -> None:
    module, section, term, test = snippets('Add a loss')
    (tree / 'cface_basicsr/losses/angle_loss.py').write_text(module)
    insert(tree / 'cface_basicsr/options/training.py', '    recognition_opt: Annotated[ClassifierLoss |', section, 4)
    insert(tree / 'cface_basicsr/models/cface_model.py', '        return losses\n\n    def _generator_gan', term, 8)
    (tree / 'tests/losses/test_angle_loss.py').write_text(test)
    assert len(written(tree)) == 4
    run(tree, 'docs/make_options.py')
    run(tree, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/losses/test_angle_loss.py', *STRUCTURAL)
    run(tree, '-c', TRAIN, str(tmp_path))


@pytest.mark.slow
def test_a_compared_system_is_added_planned_and_trained(tree: Path) -> None:
    network, commands, test = snippets('Add a compared system')
    (tree / 'cface_basicsr/archs/edge_net_arch.py').write_text(network)
    cface = f'{sys.executable} -m cface_basicsr '
    subprocess.run(['bash', '-ec', commands.replace('cface ', cface)], cwd=tree, check=True,
                   env={**os.environ, 'PYTHONPATH': str(tree)})
    insert(tree / 'cface_basicsr/benchmark/systems.py', "    _one('EDSR', 'edsr'", "_one('EdgeNet', 'edge_net'),\n", 4)
    (tree / 'tests/archs/test_edge_net_arch.py').write_text(test)
    assert len(written(tree)) == 4
    run(tree, 'docs/make_options.py')
    run(tree, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/archs/test_edge_net_arch.py',
        'tests/benchmark/test_systems.py', 'tests/options/test_shipped.py', 'tests/test_baselines_page.py', *STRUCTURAL)
    run(tree, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/test_baseline_files.py', '-k', 'does_a_step and 2')


@pytest.mark.slow
def test_a_protocol_is_added_and_the_command_measures_by_it(tree: Path, tmp_path: Path) -> None:
    module, line, test = snippets('Add a protocol')
    (tree / 'cface_basicsr/measuring/nearest_protocol.py').write_text(module)
    insert(tree / 'cface_basicsr/measuring/protocols.py', "    'set_protocols.BlufrProtocol',\n", line, 4)
    (tree / 'tests/measuring/test_nearest_protocol.py').write_text(test)
    assert len(written(tree)) == 3
    run(tree, 'docs/make_protocols.py')
    run(tree, 'docs/make_commands.py')
    run(tree, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/measuring/test_nearest_protocol.py',
        'tests/measuring/test_protocols.py', *STRUCTURAL)
    write_small_data(tmp_path / 'data')
    write_features(tmp_path / 'x.npy', np.eye(12, 16, dtype=np.float32) + 1, read_identities(tmp_path / 'data')[0])
    out = run(tree, '-m', 'cface_basicsr', 'evaluate', 'nearest', str(tmp_path / 'data'), '--features',
              f'X={tmp_path / "x.npy"}')
    assert 'nearest % (' in ' '.join(out.split())


@pytest.mark.slow
def test_a_data_set_is_added_with_an_option_of_its_own(tree: Path) -> None:
    module, test = snippets('Add a data set')
    (tree / 'cface_basicsr/data/grey_face_dataset.py').write_text(module)
    (tree / 'tests/data/test_grey_face_dataset.py').write_text(test)
    assert len(written(tree)) == 2
    run(tree, 'docs/make_options.py')
    run(tree, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/data/test_grey_face_dataset.py', *STRUCTURAL)


@pytest.mark.slow
def test_an_option_of_a_command_is_added(tree: Path) -> None:
    parameter, body, test = snippets('Add an option of a command')
    path = tree / 'cface_basicsr/cli/data_sets/synth.py'
    insert(path, '    workers: Workers = 0', parameter, 4)
    insert(path, '    settings = TreeSettings(', body, 4)
    (tree / 'tests/cli/data_sets/test_synth.py').write_text(test)
    assert len(written(tree)) == 2
    run(tree, 'docs/make_commands.py')
    run(tree, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/cli/data_sets/test_synth.py', *STRUCTURAL)
