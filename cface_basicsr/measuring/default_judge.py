"""The second recognizer of every measurement that names only one: dlib's, which comes with the plugin."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from cface_basicsr.errors import UserError
from cface_basicsr.files.manifest import manifest_settings
from cface_basicsr.files.recognizer_file import named_recognizer, recognizer_hash

DLIB = 'dlib'


def default_judge(recognizers: Mapping[str, str], folders: Iterable[Path],
                  landmarks: bool = False) -> tuple[dict[str, str], list[str]]:
    """What to add to the recognizers that are asked for, and notes that say why nothing is added.

    Args:
        recognizers: name -> file; with two or more, a user has chosen a judge.
        folders: the prepared folders that are measured on.
        landmarks: whether centre crops are aligned by landmarks found on HR (`measuring.landmarks`).

    Returns:
        ({'judge': 'dlib'} or nothing, notes).
    """
    if len(recognizers) != 1 or _is_dlib(*recognizers.values()):
        return {}, []
    crops = {folder: manifest_settings(folder).get('crop') for folder in folders}
    wrong = [folder for folder, crop in crops.items() if crop != 'align' and not (landmarks and crop == 'center')]
    if wrong:
        return {}, [f"Judge not applicable: '{wrong[0].name}' has faces of --crop {crops[wrong[0]] or 'unknown'}, and "
                    "dlib's chip is cut out of faces that are aligned by landmarks (cface prepare --crop align, or "
                    'cface evaluate for centre crops).']
    return {DLIB if 'judge' in recognizers else 'judge': DLIB}, []


def _is_dlib(file: str) -> bool:
    path = named_recognizer(file)
    return path.is_file() and recognizer_hash(path) == recognizer_hash(DLIB)


def check_judge(led: Mapping[str, list[str]], recognizers: Iterable[str], strict: bool) -> None:
    """Check that a recognizer measures that led no loss, where that is asked for.

    Args:
        led: name of a recognizer -> the rows of which it led a loss.
        recognizers: the names of all that measure; the first one may have led a loss.

    Raises:
        UserError: `strict`, and there is none, or a later one led a loss, too.
    """
    first, *others = recognizers
    wrong = [name for name in others if name in led] or ([first] if not others and first in led else [])
    if strict and wrong:
        raise UserError(f"--strict: recognizer '{wrong[0]}' led a loss of {', '.join(led[wrong[0]])}, so it is not a "
                        "judge. Name another one, for example dlib, which comes with the plugin.")
