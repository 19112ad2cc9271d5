"""Where the recipes are: `options/` of a clone, or the copy that an installation carries."""

from pathlib import Path

from cface_basicsr.errors import UserError


def find_recipe(name: str) -> Path:
    """The path of a recipe that comes with the plugin, such as 'demo/faces.yml'.

    Raises:
        UserError: it is in neither place.
    """
    package = Path(__file__).parents[1]
    for folder in (package.parent / 'options', package / 'recipes'):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"recipe '{name}' is neither in '{package.parent / 'options'}' nor in '{package / 'recipes'}'.\n"
                    'Install the plugin again, or run the command from a clone.')
