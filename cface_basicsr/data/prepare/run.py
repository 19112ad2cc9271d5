"""From a folder of photographs to the folder of stores that everything else reads (`cface prepare`).

A run keeps its journal and its unfinished stores under names of their own. Every few hundred photographs it commits
the stores, then the journal, so the journal tells the next run how far a killed one came; what the stores have beyond
that is written again. Everything is published by renaming once all is packed; manifest.json comes last and marks the
folder as finished.
"""

import itertools
import math
import random
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
from typing_extensions import TypedDict

from cface_basicsr.data.images.face_crop import Rejected
from cface_basicsr.data.layouts.listing import list_layout
from cface_basicsr.data.layouts.settings import PrepareSettings
from cface_basicsr.data.layouts.source import Listing, Source, counted
from cface_basicsr.data.prepare.packing import Journal, Packed, Packing, form_of_lr, pack_all
from cface_basicsr.errors import UserError, first_few
from cface_basicsr.files.atomic import unfinished, write_json, write_text
from cface_basicsr.files.face_store import store_sha256
from cface_basicsr.files.identities import identity_table
from cface_basicsr.files.image_keys import identity_name
from cface_basicsr.files.json_file import read_json
from cface_basicsr.files.manifest import check_made_with, file_hash, read_manifest, write_manifest
from cface_basicsr.files.named_pairs import pairs_table
from cface_basicsr.files.store_writer import StoreWriter
from cface_basicsr.version import __version__

__all__ = ['Part', 'PrepareSettings', 'PrepareReport', 'prepare']

KERNEL = 'antialiased bicubic, a = -0.5, of 8-bit HR, rounded to 8 bit'
COMMIT_EVERY = 512
"""Photographs between two commits; at most this many are lost by a kill."""

_Progress = Callable[[int, int], None]
"""Called with (photographs done, photographs in all)."""


@dataclass
class Part:
    """One finished folder and what its manifest says.

    Attributes:
        folder: its path.
        images, identities: their numbers.
        files: name -> SHA-256 of its content (for a store: `store_sha256`).
        duplicates: groups of keys whose HR faces are equal pixel by pixel; at least one key of each group is in this
            folder.
    """

    folder: Path
    images: int = 0
    identities: int = 0
    files: dict[str, str] = field(default_factory=dict)
    duplicates: list[list[str]] = field(default_factory=list)


@dataclass
class PrepareReport:
    """What a run made.

    Attributes:
        parts: '' (one folder) or 'train' and 'test'.
        rejected: (path relative to the source, reason).
        renamed: sources whose key differs from their name.
        notes: sentences about what was read besides the photographs.
        has_identities: whether the source says who is on the photographs.
        already_finished: the folder was complete, so nothing was done.
    """

    parts: dict[str, Part]
    rejected: list[tuple[str, str]]
    renamed: list[Source]
    notes: list[str] = field(default_factory=list)
    has_identities: bool = True
    already_finished: bool = False


def prepare(source: str | Path, out: str | Path, settings: PrepareSettings, *, workers: int = 1,
            progress: _Progress = lambda done, total: None, commit_every: int = COMMIT_EVERY) -> PrepareReport:
    """Pack photographs into stores; if it is killed, calling it again with the same settings continues its work.

    Args:
        source: the photographs, in the layout of the settings.
        out: the folder to make; with a holdout it will hold train/ and test/.
        settings: what to make.
        workers: number of processes.
        progress: called with (photographs done, photographs in all).
        commit_every: photographs between two commits.

    Raises:
        UserError: the settings contradict each other or those of the folder, or there are no usable photographs.
    """
    settings.check()
    listing = list_layout(source, settings)
    if settings.holdout and listing.pairs is not None:
        listing.pairs = None
        listing.notes.append('--holdout divides the people: no pairs.csv is made.')
    work = Work(Path(out), settings, listing)
    if work.finished():
        return work.report(already_finished=True)
    packing = Packing(listing.photos, settings)
    work.claim(packing)
    work.pack(packing, workers, progress, commit_every)
    work.publish(Path(source))
    return work.report()


class _Begun(TypedDict, total=False):
    """What settings.json and manifest.json say of a run."""

    settings: dict[str, Any] | None
    test_identities: list[str]


class Work:
    """One run that fills one output folder."""

    def __init__(self, out: Path, settings: PrepareSettings, listing: Listing) -> None:
        self.out, self.settings, self.listing = out, settings, listing
        self.notes, self.facts = list(listing.notes), dict(listing.facts)
        self.aside = out / '.prepare.unfinished'
        self.signature = settings.signature(listing)
        self.test_identities: set[str] = set()
        names = ['train', 'test'] if settings.holdout else ['']
        self.parts = {name: Part(out / name) for name in names}
        self.forms = {'hr.lmdb': settings.store} | {f'lr_x{scale}.lmdb': form_of_lr(settings.store)
                                                    for scale in settings.scales}

    def part_of(self, key: str) -> str:
        """The name of the part that a key belongs to."""
        if not self.settings.holdout:
            return ''
        return 'test' if key.split('/')[0] in self.test_identities else 'train'

    def finished(self) -> bool:
        """Whether the folder is complete.

        Raises:
            UserError: it was made, or started, with other settings.
        """
        record = self.aside / 'settings.json'
        manifests = [self.out / name / 'manifest.json' for name in ('', 'train', 'test')]
        for path in [record, *manifests]:
            if path.is_file():
                recorded = read_json(path, _Begun).get('settings') or {}
                check_made_with(self.out, recorded, self.signature)
        return all((part.folder / 'manifest.json').is_file() for part in self.parts.values())

    def claim(self, packing: Packing) -> None:
        """Choose the held-out identities, unless they are recorded, and record the settings in the output folder."""
        record = self.aside / 'settings.json'
        chosen = read_json(record, _Begun).get('test_identities', []) if record.is_file() else \
            choose_holdout(self.listing.sources, packing)
        self.test_identities = set(chosen)
        self.aside.mkdir(parents=True, exist_ok=True)
        for part in self.parts.values():
            part.folder.mkdir(exist_ok=True)
        write_json(record, {'settings': self.signature, 'test_identities': chosen})

    def pack(self, packing: Packing, workers: int, progress: _Progress, commit_every: int) -> None:
        """Add the photographs that are not in the journal yet to the unfinished stores."""
        with Journal(self.aside / 'journal.jsonl') as journal:
            total = len(self.listing.sources)
            if len(journal) == total:
                return
            writers = {(part, name): StoreWriter(self.parts[part].folder / name, form)
                       for part in self.parts for name, form in self.forms.items()}
            try:
                left = self.listing.sources[len(journal):]
                progress(len(journal), total)  # at once: with a detector the first results take a while
                for source, packed in pack_all(packing, left, workers):
                    self._put(writers, source, packed)
                    journal.add(source, packed)
                    if len(journal) % commit_every == 0 or len(journal) == total:
                        for writer in writers.values():
                            writer.commit()
                        journal.commit()
                    progress(len(journal), total)
            finally:
                for writer in writers.values():
                    writer.close()

    def _put(self, writers: dict[tuple[str, str], StoreWriter], source: Source, packed: Packed) -> None:
        for name, image in zip(self.forms, packed.images, strict=False):  # a rejected photograph has none
            writers[self.part_of(source.key), name].put(source.key, image)

    def publish(self, source: Path) -> None:
        """Rename the stores to their final names, write the tables, and remove the journal.

        Raises:
            UserError: a part has no images.
        """
        accepted = self._accepted()
        for name, packed in accepted.items():
            if not packed:
                reasons = [(source.path, entry['reason']) for source, entry in self._packed()
                           if self.part_of(source.key) == name]
                if not any(accepted.values()):
                    self._discard()  # so that other settings can be tried
                raise UserError(f"'{source}' gave no usable face{f' for {name}/' if name else ''}: {counted(reasons)}."
                                f'{advice(reasons, self.settings)}')
        equal = _duplicates({key: pixels for packed in accepted.values() for key, (_, pixels) in packed.items()})
        if self.listing.pairs is not None:
            self._publish_pairs(self.parts[''], accepted[''])
        for name, part in self.parts.items():
            part.duplicates = [group for group in equal if any(key in accepted[name] for key in group)]
            self._publish_part(part, accepted[name], source)
        shutil.rmtree(self.aside)

    def _discard(self) -> None:
        """Remove what was made aside, and the folders that are empty then."""
        for part in self.parts.values():
            for name in self.forms:
                shutil.rmtree(unfinished(part.folder / name), ignore_errors=True)
        shutil.rmtree(self.aside)
        for folder in dict.fromkeys([*(part.folder for part in self.parts.values()), self.out]):
            with suppress(OSError):  # it is not empty
                folder.rmdir()

    def _publish_part(self, part: Part, accepted: dict[str, tuple[str, str]], source: Path) -> None:
        for name, form in self.forms.items():
            path = part.folder / name
            part.files[name] = store_sha256(path) if path.exists() else StoreWriter(path, form).finish()
        table, part.identities = identity_table(accepted)
        write_text(part.folder / 'identities.csv', table)
        part.files['identities.csv'] = file_hash(part.folder / 'identities.csv', 64)
        part.images = len(accepted)
        write_manifest(part.folder, self._manifest(part, source))

    def _publish_pairs(self, part: Part, accepted: dict[str, tuple[str, str]]) -> None:
        """Write pairs.csv, always with all pairs: without some of them it would be another protocol."""
        path = part.folder / 'pairs.csv'
        write_text(path, pairs_table(self.listing.pairs))
        part.files['pairs.csv'] = file_hash(path, 64)
        reasons = {source.key: entry['reason'] for source, entry in self._packed() if entry['reason']}
        named = {key for pair in self.listing.pairs for key in (pair.left, pair.right)}
        missing = {key: reasons.get(key, 'not in the source') for key in sorted(named - accepted.keys())}
        if missing:
            lost = sum(pair.left in missing or pair.right in missing for pair in self.listing.pairs)
            shown = first_few([f'{key} ({reason})' for key, reason in missing.items()])
            self.notes.append(
                f'pairs.csv: {len(missing)} of its {len(named)} images, in {lost} of its {len(self.listing.pairs)} '
                f'pairs, are not in the prepared folder: {shown}. Evaluation refuses such pairs: '
                'put the images back, or, if no face was found in them, use --landmarks or --crop center.')
            self.facts['pairs_missing'] = list(missing.items())

    def _packed(self) -> Iterator[tuple[Source, dict[str, str]]]:
        """Each source with its entry in the journal."""
        return zip(self.listing.sources, Journal.read(self.aside / 'journal.jsonl'), strict=True)

    def _accepted(self) -> dict[str, dict[str, tuple[str, str]]]:
        """From the journal: (path, hash of the HR face's pixels) of every packed photograph, by part and key."""
        accepted: dict[str, dict[str, tuple[str, str]]] = {name: {} for name in self.parts}
        for source, entry in self._packed():
            if entry['pixels']:
                accepted[self.part_of(source.key)][source.key] = (source.path, entry['pixels'])
        return accepted

    def rejected(self) -> list[tuple[str, str]]:
        """(path, reason) of everything that was not packed, including identities that became empty."""
        rejected, files, lost = list(self.listing.rejected), Counter(), Counter()
        for source, entry in self._packed():
            identity = source.key.split('/')[0]
            files[identity] += 1
            if entry['reason']:
                lost[identity] += 1
                rejected.append((source.path, entry['reason']))
        empty = [(f'{identity_name(name)}/', f'empty identity: none of {count} files gave a face')
                 for name, count in files.items() if lost[name] == count and self.listing.has_identities]
        return sorted(rejected + empty)

    def _manifest(self, part: Part, source: Path) -> dict[str, Any]:
        return {
            'product': 'faces',
            'settings': self.signature,
            'source': str(source.absolute()),
            'layout': {'name': self.settings.layout, 'notes': self.notes,
                       'files': {part: str(path.absolute()) for part, path in self.listing.files.items()}} | self.facts,
            'kernel': KERNEL if self.settings.crop != 'resize' else KERNEL.replace('8-bit HR', 'the photograph'),
            'images': part.images,
            'identities': part.identities,
            'sha256': part.files,
            'duplicates': part.duplicates,
            'rejected': self.rejected(),
            'renamed': [[source.key, source.path] for source in self.listing.renamed],
            'versions': {'cface-basicsr': __version__} | {
                name: version(name) for name in ('torch', 'numpy', 'pillow', 'lmdb')} | {'opencv': cv2.__version__},
        }

    def report(self, already_finished: bool = False) -> PrepareReport:
        """The report, from the manifests of the finished parts."""
        rejected: list[tuple[str, str]] = []
        notes: list[str] = []
        for part in self.parts.values():
            manifest = read_manifest(part.folder)
            part.images, part.identities = manifest['images'], manifest['identities']
            part.files, part.duplicates = manifest['sha256'], manifest['duplicates']
            rejected = [(path, reason) for path, reason in manifest['rejected']]
            notes = manifest.get('layout', {}).get('notes', [])
        if self.aside.exists():  # killed between the last manifest and this line
            shutil.rmtree(self.aside)
        return PrepareReport(self.parts, rejected, self.listing.renamed, notes, self.listing.has_identities,
                             already_finished)


def _duplicates(pixels: dict[str, str]) -> list[list[str]]:
    """Groups of keys with equal faces, sorted.

    Args:
        pixels: key -> hash of the face's pixels.
    """
    groups = defaultdict(list)
    for key, digest in sorted(pixels.items()):
        groups[digest].append(key)
    return sorted(group for group in groups.values() if len(group) > 1)


def choose_holdout(sources: Sequence[Source], packing: Packing) -> list[str]:
    """The identities of the test part, sorted.

    They are drawn from those with at least two files that give a face, because verification needs pairs. Only the
    files of drawn identities are opened.

    Args:
        sources: the photographs.
        packing: its settings say how many identities and by which seed; it decides which photographs give a face.

    Returns:
        Identities as in the keys.

    Raises:
        UserError: there are too few identities.
    """
    settings, files = packing.settings, defaultdict(list)
    count = settings.holdout
    for source in sources if count else ():
        files[source.key.split('/')[0]].append(source)
    drawn, rejected = random.Random(settings.seed).sample(sorted(files), len(files)), []
    fit = (identity for identity in drawn if _gives_faces(packing, files[identity], 2, rejected))
    chosen = list(itertools.islice(fit, count))
    if len(chosen) < count or count and count >= len(files):
        raise UserError(f'--holdout {count}: of {len(files)} identities in the source, {len(chosen)} have two or more '
                        'usable photographs,\nand at least one identity must be left to train on.'
                        + (f' Rejected: {counted(rejected)}.{advice(rejected, settings)}' if rejected else ''))
    return sorted(chosen)


def _gives_faces(packing: Packing, sources: Sequence[Source], wanted: int, rejected: list[tuple[str, str]]) -> bool:
    """Whether at least `wanted` of the photographs give a face; the reasons of the others are added to `rejected`."""
    found = 0
    for source in sources:
        try:
            packing.faces(source)
            found += 1
        except Rejected as reason:
            rejected.append((source.path, str(reason)))
        if found == wanted:
            return True
    return False


def advice(rejected: Sequence[tuple[str, str]], settings: PrepareSettings) -> str:
    """What helps against the most frequent of some reasons, as a line of its own; empty if nothing is known."""
    small = [min(map(int, match.groups())) for _, reason in rejected
             if (match := re.match(r'(\d+)x(\d+) pixels, smaller than', reason))]
    if 2 * len(small) > len(rejected):
        step = math.lcm(*settings.scales)
        fits = min(small) // step * step
        smaller = f'--size {fits} takes them as they are; ' if fits >= 16 else ''
        return f'\n{smaller}--crop align finds the faces and enlarges them.'
    if 2 * sum('(--crop none)' in reason for _, reason in rejected) > len(rejected):
        return '\n--crop center takes the middle of larger photographs; --size HEIGHTxWIDTH names another size.'
    if 2 * sum(reason == 'no face found' for _, reason in rejected) > len(rejected):
        return '\n--crop center needs no detector; --landmarks FILE says where the faces are.'
    return ''
