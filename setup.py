"""Packages and the recipes that go with them; everything else stands in pyproject.toml.

`options/` lies at the top of the repository, where users of BasicSR look for it, and is installed as
`cface_basicsr/recipes`, so that `cface demo` finds its recipe without a clone.
"""

from setuptools import find_packages, setup

RECIPES = 'cface_basicsr.recipes'

setup(
    packages=[*find_packages(include=['cface_basicsr*']), RECIPES, f'{RECIPES}.demo'],
    package_dir={RECIPES: 'options'},
    package_data={RECIPES: ['*.yml'], f'{RECIPES}.demo': ['*.yml']},
)
