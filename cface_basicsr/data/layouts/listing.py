"""The layouts in which people have photographs, by name: source -> `Listing`."""

from collections.abc import Callable
from pathlib import Path

from cface_basicsr.data.layouts.celeba import list_celeba
from cface_basicsr.data.layouts.folders import list_folders
from cface_basicsr.data.layouts.insightface_bin import list_bin
from cface_basicsr.data.layouts.insightface_rec import list_recordio
from cface_basicsr.data.layouts.landmarks import read_landmarks, take_landmarks
from cface_basicsr.data.layouts.lfw import list_lfw
from cface_basicsr.data.layouts.settings import PrepareSettings
from cface_basicsr.data.layouts.source import Listing, list_sources

_LISTERS: dict[str, Callable[[Path, PrepareSettings], Listing]] = {
    'casia': lambda source, settings: list_sources(source),
    'folders': lambda source, settings: list_folders(source, identity=settings.identity),
    'lfw': lambda source, settings: list_lfw(source, pairs=settings.pairs, people=settings.people),
    'celeba': list_celeba,
    'recordio': lambda source, settings: list_recordio(source),
    'bin': lambda source, settings: list_bin(source),
}


def list_layout(source: str | Path, settings: PrepareSettings) -> Listing:
    """What a source holds, read in the layout of the settings; with the landmarks of a file, where one was named.

    Args:
        source: a folder, or the file of an archive.
        settings: checked ones.

    Raises:
        UserError: the source has not that layout, or a file beside it is missing, damaged or made for other images.
    """
    listing = _LISTERS[settings.layout](Path(source), settings)
    if settings.landmarks:
        take_landmarks(listing, read_landmarks(settings.landmarks), settings.landmarks)
    return listing
