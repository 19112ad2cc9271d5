"""The second recognizer of every measurement that names only one: dlib's, which comes with the plugin."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from cface_basicsr.errors import UserError
from cface_basicsr.files.manifest import manifest_settings
from cface_basicsr.files.recognizer_file import named_recognizer, recognizer_marks

DLIB, JUDGE = 'dlib', 'judge'


def default_judge(recognizers: Mapping[str, str], folders: Iterable[Path]) -> tuple[dict[str, str], list[str]]:
    """What to add to the recognizers that are asked for, and notes that say why nothing is added.

    Args:
        recognizers: name -> file; with two or more, a user has chosen a judge.
        folders: the prepared folders that are measured on; centre crops are aligned by landmarks found on HR
            (`measuring.landmarks`).

    Returns:
        ({'judge': 'dlib'} or nothing, notes).
    """
    if len(recognizers) != 1 or _is_dlib(*recognizers.values()):
        return {}, []
    crops = {folder: manifest_settings(folder).get('crop') for folder in folders}
    wrong = [folder for folder, crop in crops.items() if crop not in ('align', 'center')]
    if wrong:
        return {}, [f"Judge not applicable: '{wrong[0].name}' has faces of --crop {crops[wrong[0]] or 'unknown'}, and "
                    "dlib's chip is cut out of faces that are aligned by landmarks (cface prepare --crop align or "
                    'center).']
    return {DLIB if JUDGE in recognizers else JUDGE: DLIB}, []


def _is_dlib(file: str) -> bool:
    path = named_recognizer(file)
    return path.is_file() and not recognizer_marks(DLIB).isdisjoint(recognizer_marks(path))


def check_judge(led: Mapping[str, list[str]], recognizers: Iterable[str], strict: bool) -> None:
    """Check, where that is asked for, that a recognizer measures that led no loss, and that `judge` is such a one.

    Args:
        led: name of a recognizer -> the rows of which it led a loss.
        recognizers: the names of all that measure.

    Raises:
        UserError: `strict`, and there is none, or `judge` led a loss.
    """
    names = list(recognizers)
    wrong = [name for name in names if name in led and (name == JUDGE or led.keys() >= {*names})]
    if strict and wrong:
        raise UserError(f"--strict: recognizer '{wrong[-1]}' led a loss of {', '.join(led[wrong[-1]])}, so it is not a "
                        "judge. Name another one, for example dlib, which comes with the plugin.")
