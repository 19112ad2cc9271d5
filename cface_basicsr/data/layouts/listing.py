"""The layouts of photographs by name, each with the function that makes a `Listing` of a source."""

from collections.abc import Callable
from pathlib import Path

from cface_basicsr.data.layouts.celeba import list_celeba
from cface_basicsr.data.layouts.csv_table import list_csv
from cface_basicsr.data.layouts.folders import list_folders, list_sources
from cface_basicsr.data.layouts.insightface import list_bin, list_recordio
from cface_basicsr.data.layouts.landmarks import assign_landmarks, read_landmarks
from cface_basicsr.data.layouts.lfw import list_lfw
from cface_basicsr.data.layouts.scface import list_scface
from cface_basicsr.data.layouts.settings import PrepareSettings
from cface_basicsr.data.layouts.small_faces import list_survface, list_tinyface
from cface_basicsr.data.layouts.source import Listing

_LISTERS: dict[str, Callable[[Path, PrepareSettings], Listing]] = {
    'casia': lambda source, settings: list_sources(source),
    'folders': lambda source, settings: list_folders(source, identity=settings.identity),
    'lfw': lambda source, settings: list_lfw(source, pairs=settings.pairs, people=settings.people),
    'celeba': list_celeba,
    'csv': lambda source, settings: list_csv(source),
    'recordio': lambda source, settings: list_recordio(source),
    'bin': lambda source, settings: list_bin(source),
    'tinyface': lambda source, settings: list_tinyface(source, settings.partition),
    'survface': lambda source, settings: list_survface(source),
    'scface': lambda source, settings: list_scface(source),
}


def list_layout(source: str | Path, settings: PrepareSettings) -> Listing:
    """List a source in the layout of the settings, with the landmarks if the settings name a file of them.

    Args:
        source: a folder, or the file of an archive.
        settings: checked (`PrepareSettings.check`).

    Raises:
        UserError: the source does not have that layout, or one of the text files is missing, damaged or made for other
            images.
    """
    listing = _LISTERS[settings.layout](Path(source), settings)
    if settings.landmarks:
        assign_landmarks(listing, read_landmarks(settings.landmarks), settings.landmarks)
    return listing
