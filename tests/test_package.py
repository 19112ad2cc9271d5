"""What goes around with the code: the index page, the citation, and the files for other people's machines."""

import email
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from cface_basicsr.cli.main import COMMANDS
from cface_basicsr.files.yaml_file import read_yaml
from cface_basicsr.options.shipped import find_option_file
from cface_basicsr.version import __version__
from tests.test_docs import ROOT, text_of
from tests.test_install import PYTHONS, constraints


@pytest.fixture(scope='module')
def metadata(tmp_path_factory: pytest.TempPathFactory) -> email.message.Message:
    folder = tmp_path_factory.mktemp('egg')
    done = subprocess.run([sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', str(folder)], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return email.message_from_string(text_of(folder / 'cface_basicsr.egg-info' / 'PKG-INFO'))


def setup_functions() -> dict[str, Any]:
    """What setup.py defines, without its call of setuptools."""
    names: dict[str, Any] = {'__file__': str(ROOT / 'setup.py')}
    exec(text_of(ROOT / 'setup.py').partition('\nsetup(\n')[0], names)
    return names


def test_no_link_of_the_index_page_leads_into_the_repository(metadata: email.message.Message) -> None:
    page = metadata.get_payload()
    readme = text_of(ROOT / 'README.md')
    assert metadata['Description-Content-Type'] == 'text/markdown'
    targets = re.findall(r'\]\(([^)]+)\)', page)
    assert targets == [target for target in re.findall(r'\]\(([^)]+)\)', readme) if target.startswith('https://')]
    assert page.lstrip().startswith('# cface-basicsr') and '![' not in page
    for heading in re.findall(r'^## .+', readme, re.M):
        assert heading in page


def test_the_index_page_has_no_caption_of_a_picture_that_is_left_out(metadata: email.message.Message) -> None:
    readme = text_of(ROOT / 'README.md')
    captions = re.findall(r'^!\[.*\n\n\*([^*]+)\*$', readme, re.M)
    assert len(captions) == 1 and '*16' not in metadata.get_payload()
    assert captions[0].split('.')[0] not in metadata.get_payload()


def test_with_an_address_of_the_repository_each_link_and_picture_leads_into_it() -> None:
    home = 'https://forge.example/team/cface-basicsr'
    page = setup_functions()['index_page'](text_of(ROOT / 'README.md'), home)
    targets = re.findall(r'(!?)\[[^\]]*\]\(([^)\s]+)\)', page)
    assert {'!': f'{home}/raw/main/docs/photo_x4.png', '': f'{home}/blob/main/docs/train.md#vgg19-weights'}.items() <= {
        mark: target for mark, target in targets if 'photo_x4' in target or 'vgg19' in target}.items()
    assert [target for _, target in targets if not target.startswith('https://')] == []
    for _, target in targets:
        path = re.match(rf'{home}/(?:raw|blob)/main/([^#]+)', target)
        assert not path or (ROOT / path[1]).exists(), target
    assert len(targets) == len(re.findall(r'\]\(', text_of(ROOT / 'README.md')))


def test_no_address_of_somebody_else_is_called_ours(metadata: email.message.Message) -> None:
    """Labels as indexes know them (packaging.python.org, well-known project URLs): they take them for the project's."""
    urls = dict(each.split(', ') for each in metadata.get_all('Project-URL'))
    ours = {'homepage', 'source', 'repository', 'sourcecode', 'github', 'documentation', 'docs', 'issues', 'bugs',
            'bugtracker', 'tracker', 'issuetracker', 'changelog', 'changes', 'releasenotes', 'download', 'funding'}
    assert urls == {'Plugin of BasicSR': 'https://github.com/XPixelGroup/BasicSR'}
    assert {re.sub(r'\W', '', label).lower() for label in urls} & ours == set()
    assert metadata['Home-page'] is None and setup_functions()['source_address']() == ''


def test_a_source_archive_has_what_the_readmes_installation_needs_and_no_part_of_the_tests(tmp_path: Path) -> None:
    copy = tmp_path / 'copy'
    kept = shutil.ignore_patterns('.*', 'build', 'dist', '*.egg-info', 'docs', 'datasets', 'experiments')
    shutil.copytree(ROOT, copy, ignore=kept)
    done = subprocess.run([sys.executable, 'setup.py', '-q', 'sdist', '--formats', 'tar'], cwd=copy,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with tarfile.open(next((copy / 'dist').glob('*.tar'))) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    assert {'scripts/basicsr_build/sitecustomize.py', 'constraints.txt', 'README.md', 'setup.py'} <= names
    assert not [name for name in names if name.startswith(('tests', 'models')) or name.endswith('.pyc')]


def test_the_index_page_names_each_python_that_is_tested(metadata: email.message.Message) -> None:
    named = [each.rpartition(' ')[2] for each in metadata.get_all('Classifier') if re.search(r':: 3\.\d+$', each)]
    assert tuple(named) == PYTHONS
    workflow = yaml.safe_load(text_of(ROOT / '.github/workflows/test.yml'))
    assert tuple(workflow['jobs']['test']['strategy']['matrix']['python']) == PYTHONS


def test_each_extra_that_installs_something_is_explained_where_it_is_asked_for(
        metadata: email.message.Message) -> None:
    pages = '\n'.join(text_of(page) for page in (*ROOT.glob('*.md'), *ROOT.glob('docs/*.md')))
    extras = metadata.get_all('Provides-Extra')
    assert [extra for extra in extras if f'[{extra}]' not in pages] == []
    assert set(re.findall(r"pip install '[^']*\[(\w+)\]'", pages)) <= set(extras)


def test_the_citation_is_that_of_the_readme_and_of_this_version() -> None:
    citation, readme = yaml.safe_load(text_of(ROOT / 'CITATION.cff')), text_of(ROOT / 'README.md')
    paper = citation['preferred-citation']
    told = dict(re.findall(r'^ +(\w+) += \{(.+)\}', readme, re.M))
    assert citation['version'] == __version__
    assert (paper['title'], paper['journal'], str(paper['year'])) == (told['title'], told['journal'], told['year'])
    assert ' and '.join(f'{each["family-names"]}, {each["given-names"]}' for each in paper['authors']) == told['author']


@pytest.mark.parametrize('path', [*ROOT.glob('.github/**/*.yml'), ROOT / '.pre-commit-config.yaml'],
                         ids=lambda path: path.name)
def test_each_file_for_a_forge_is_yaml_and_names_what_is_there(path: Path) -> None:
    content = text_of(path)
    assert isinstance(yaml.safe_load(content), dict)
    targets = set(re.findall(r'^(\w+):', text_of(ROOT / 'Makefile'), re.M))
    called = {word for line in re.findall(r'run: make ([\w ]+)', content) for word in line.split() if word.islower()}
    assert called <= targets
    assert [name for name in re.findall(r'tests/\w+\.py', content) if not (ROOT / name).is_file()] == []


def test_the_image_is_made_by_the_same_script_as_every_environment_and_takes_a_tested_python() -> None:
    content = text_of(ROOT / 'Dockerfile')
    assert re.search(r'^FROM python:([\d.]+)', content, re.M)[1] in PYTHONS
    assert 'RUN scripts/install.sh ' in content and 'has not been built' in content


def test_each_line_of_the_image_names_what_is_there() -> None:
    content = text_of(ROOT / 'Dockerfile')
    script, _, venv = re.search(r'^RUN (\S+) (\S+) (/\S+)', content, re.M).groups()
    assert (ROOT / script).is_file() and f'ENV PATH={venv}/bin:$PATH' in content  # what the script installs is found
    entry, = re.findall(r'^ENTRYPOINT \["(\w+)"\]', content, re.M)
    assert f'{entry} = "cface_basicsr.cli.main:main"' in text_of(ROOT / 'pyproject.toml')
    called = set(re.findall(r'\bcface ([a-z]\w+)', content))
    assert called == {'train', 'doctor'} and called <= set(COMMANDS)
    copied = {'constraints.txt', 'options', 'pyproject.toml', 'README.md', 'setup.py', 'cface_basicsr', 'scripts'}
    left_out = set(text_of(ROOT / '.dockerignore').split())
    assert not copied & left_out and all((ROOT / name).exists() for name in copied)


def test_the_folders_that_are_mounted_into_the_image_are_those_of_its_example() -> None:
    content = text_of(ROOT / 'Dockerfile')
    (options,), (work,) = re.findall(r'cface train (\S+)', content), re.findall(r'^WORKDIR (/data)$', content, re.M)
    recipe = read_yaml(find_option_file(Path(options)))
    mounted = re.findall(r'-v "\$PWD/\w+:(/\S+)"', content)
    assert [f'{work}/{Path(recipe[key]).parts[0]}' for key in ('data', 'out')] == mounted


@pytest.mark.parametrize('python', PYTHONS)
def test_the_tools_of_make_package_and_make_docs_are_pinned(python: str) -> None:
    recipes = re.findall(r'pip install -q -c constraints.txt (.+)', text_of(ROOT / 'Makefile'))
    names = {re.sub(r"['\[].*", '', word.lstrip("'")) for recipe in recipes for word in recipe.split()}
    assert names == {'build', 'twine', 'mkdocs-material', 'mkdocstrings'}
    assert names <= set(constraints(python))
