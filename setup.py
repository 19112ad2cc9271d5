"""Packages and the files that go with them, and the text of the index page; everything else is in pyproject.toml.

`options/` lies at the top of the repository, where users of BasicSR look for it, and is installed as
`cface_basicsr/recipes`, so that `cface demo` finds its recipe without a clone. Each folder in it goes along.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

OPTIONS, RECIPES = 'options', 'cface_basicsr.recipes'
FOLDERS = sorted(path.name for path in (Path(__file__).parent / OPTIONS).iterdir() if path.is_dir())
NETWORKS = 'cface_basicsr.zoo.networks'
WITH_FILES = [RECIPES, *(f'{RECIPES}.{name}' for name in FOLDERS)]


def index_page(readme: str, source: str = '') -> str:
    """The README for a package index, where a link into the repository would lead nowhere as it is.

    Args:
        source: the address of the repository: links and pictures become absolute with it. Without one, links become
            their texts, and a picture is left out with the lines in italics below it.
    """
    if source:
        with_pictures = re.sub(r'(!\[[^\]]*\]\()(?!https?:)', rf'\1{source}/raw/main/', readme)
        return re.sub(r'((?<!!)\[[^\]]+\]\()(?!https?:|#)', rf'\1{source}/blob/main/', with_pictures)
    without_pictures = re.sub(r'!\[[^\]]*\]\((?!https?:)[^)]+\)\n+(\*[^*]+\*\n+)?', '', readme)
    return re.sub(r'\[([^\]]+)\]\((?!https?:)[^)]+\)', r'\1', without_pictures)


def source_address() -> str:
    """What `[project.urls]` names as Source; '' as long as the project has no public address."""
    urls = (Path(__file__).parent / 'pyproject.toml').read_text(encoding='utf-8').partition('[project.urls]')[2]
    return (re.findall(r'^Source = "(https://[^"]+)"', urls, re.M) or [''])[0]


setup(
    long_description=index_page((Path(__file__).parent / 'README.md').read_text(encoding='utf-8'), source_address()),
    long_description_content_type='text/markdown',
    packages=[*find_packages(include=['cface_basicsr*']), NETWORKS, *WITH_FILES],
    package_dir={RECIPES: OPTIONS},
    package_data={'cface_basicsr.data.images': ['*.safetensors', '*.md'],
                  'cface_basicsr.recognizers': ['*.pth', '*.md'],
                  'cface_basicsr.exporting': ['*.j2'],
                  NETWORKS: ['*.safetensors', '*.yml', '*.md'],
                  'cface_basicsr.serving': ['*.j2', '*.css', '*.js'],
                  'cface_basicsr.report': ['*.j2', '*.css', '*.js', '*.txt'],
                  **{package: ['*.yml', '*.json'] for package in WITH_FILES}},
)
