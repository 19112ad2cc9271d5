"""`cface enhance`: super-resolve face crops, and the small faces of photographs, with a trained network."""

import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from cface_basicsr.cli.arguments import Device, Json, Overwrite, Plugins, check_folder
from cface_basicsr.errors import UserError, check_file
from cface_basicsr.ops.template import Template
from cface_basicsr.runtime import pick_device, start_computing

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from cface_basicsr.cli.show import ShowSteps
    from cface_basicsr.data.images.face_images import FaceFile
    from cface_basicsr.enhancing.detector import DetectedFace
    from cface_basicsr.enhancing.evidence import Judge
    from cface_basicsr.enhancing.networks import FaceEnhancer
    from cface_basicsr.enhancing.paste import Picture
    from cface_basicsr.enhancing.photo import PhotoSettings
    from cface_basicsr.enhancing.photo_file import PhotoFile

Refused = list[dict[str, str]]
Targets = list[tuple['FaceFile', Path]]
_AUTO = 'auto'
_NUMBER = re.compile(r'\d+(\.\d+)?')
_SEARCH = 0.9
"""Share of the work on a photograph that is to find its faces, roughly."""
_UPSCALE = 4
"""What is advised where enhanced faces are shown small: 16 pixels become 64, and the file stays of a useful size."""


class _Opened(NamedTuple):
    """A photograph and the place of its image."""

    photo: 'PhotoFile'
    target: Path

    def __str__(self) -> str:
        return f"'{self.photo.path}'"


def command(
    paths: Annotated[list[str], typer.Argument(metavar='PATH…')],
    out: Annotated[Path, typer.Option()],
    weights: Annotated[str, typer.Option('--weights', '--network')] = _AUTO,
    keep_extension: Annotated[bool, typer.Option('--keep-extension')] = False,
    overwrite: Overwrite = False,
    faces: Annotated[Literal['auto', 'crop', 'photo'], typer.Option(metavar='auto|crop|photo')] = 'auto',
    min_face: float = 10, max_face: float = 96,
    detect_scale: Annotated[list[str] | None, typer.Option(metavar='auto|N…', show_default='auto')] = None,
    template: Annotated[Template | None, typer.Option(metavar='arcface|sphereface|dlib|center')] = None,
    upscale: Annotated[int, typer.Option(min=1, max=8)] = 1,
    background: Annotated[str | None, typer.Option(metavar='NETWORK')] = None,
    strength: Annotated[float, typer.Option(min=0, max=1)] = 1.0,
    save: str = 'image',
    reference: Annotated[Path | None, typer.Option(metavar='DIR')] = None,
    evidence: Annotated[bool, typer.Option('--evidence')] = False,
    gate: Annotated[Literal['warn', 'keep'] | None, typer.Option(metavar='warn|keep')] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    half: Annotated[bool, typer.Option('--half')] = False,
    device: Device = None, as_json: Json = False, plugin: Plugins = None,
) -> None:
    """Super-resolve face crops to 128x128 PNG files, and the small faces of photographs in their places.

    A network of scale 8 takes faces of 10 to 16 pixels, of scale 4 up to 33, of scale 2 up to 67, in crops and in
    photographs. The largest centred square of a crop is cut out and resized to the exact size by the bicubic filter
    that made the training images. Grey, palette and 16-bit files are converted, EXIF orientation is applied;
    transparent pixels are put on white and the alpha channel is dropped.

    A video is enhanced frame by frame, with its sound as it was, and becomes <name>.mp4; or <name>.mkv where it was
    neither an MP4 nor a QuickTime file, or MP4 cannot hold its sound; or <name>.mov where only QuickTime can. It needs
    one more library: pip install av

    In a photograph faces are found, aligned, super-resolved and put back with a soft edge in the photograph's own
    colours; everything else stays as it is, with colour profile, EXIF, alpha, 16 bits and file times.

    Each file that cannot be read, does not fit, or is a photograph without a face is named in one line; the others are
    done, and the exit code is 1.

    Args:
        paths: Face crops, photographs, and folders of them (searched with subfolders); videos by their names.
        out: Folder for the results: <name>.png, in the same subfolders.
        weights: Network file, which says which network and scale it holds; a name that `cface models list` prints; or
            auto: for each face the one of the networks listed there that fits its height.
        keep_extension: Name the results <name>.<ending>.png, so that a.gif and a.tif give two.
        faces: What the images are. auto: crops if the short side has at most 67 pixels and the long one at most 1.5
            times that, else photographs.
        min_face: Photographs: least height in pixels of a face to enhance.
        max_face: Photographs: greatest height; larger faces are skipped, as is any face that is larger than the input
            of its network by more than 5 %, since shrinking it loses more than the network gives.
        detect_scale: Photographs: sizes of the copies in which faces are looked for, relative to the photograph: `1 2
            4`. auto: 1, 2, the whole in 1024 pixels, and 4 below half a megapixel. Small faces need large copies.
        template: Photographs: how the faces were cropped that the network was trained on, where neither its file nor
            its card says it; without it faces are aligned as arcface, and a line says so.
        upscale: Photographs: enlargement of the whole. At 1 a small face has no room for what the network draws: take 4
            to see it.
        background: Photographs: network that enlarges what is around the faces, in tiles: one for pictures of any kind,
            by its name or file. Without it that is bicubic.
        strength: Photographs: share of what the network adds to a face.
        save: Photographs: what is written, of image (<name>.png), faces (<name>.face1.png …, as in the record), compare
            (<name>.compare.png: each face bicubic and enhanced) and json (<name>.json, the photograph's part of what
            --json prints), separated by commas.
        reference: Photographs: photos of the person, one face each. dlib's recognizer tells how similar the enhanced
            and the bicubic face are to them, and how often other people are as similar, where the network's card knows
            it.
        evidence: Photographs: the same recognizer tells how much each face changes from bicubic. That is not a verdict.
        gate: With --reference, where bicubic is nearer to the person. warn (default): say so; keep: put the bicubic
            face back.
        batch_size: Faces at a time, those of several photographs together.
        half: Compute in float16, which takes half of the memory and is faster on a GPU.

    \b
    Example:
      cface enhance face.png crops/ --weights net_g_latest.pth --out enhanced/
      cface enhance holiday.jpg --weights net_g_latest.pth --out enhanced/ --upscale 2
      cface enhance holiday.jpg --out enhanced/ --reference photos_of_ann/
      cface enhance crowd.jpg --out enhanced/ --detect-scale 1 2 4
    """
    from cface_basicsr.cli.show import ShowSteps, note
    from cface_basicsr.enhancing.request import check_heights, saved_kinds
    kinds, (inputs, scales) = saved_kinds(save), split_detect_scales(paths, detect_scale or [])
    check_heights(min_face, max_face)
    check_folder(out)
    _check_needs(gate, reference, background, upscale, weights)
    files, videos = _files_and_videos(inputs, out)
    targets, refused = _targets(files, out, keep_extension, overwrite)
    crops, photos = _crops_and_photos(targets, faces)
    if judged := bool(reference or evidence):
        _check_judged(reference, crops)
    _check_videos(videos, kinds, judged and gate != 'keep')
    # Torch is imported here, which takes seconds: what can be refused without it is refused above.
    start_computing()
    from cface_basicsr.enhancing.background import open_background
    from cface_basicsr.enhancing.half import HalfPrecision
    from cface_basicsr.enhancing.networks import open_enhancers, templates_of
    from cface_basicsr.enhancing.photo import PhotoSettings
    enhancers = open_enhancers(weights)
    templates = templates_of(enhancers, template)
    networks = {scale: HalfPrecision(each.network) if half else each.network for scale, each in enhancers.items()}
    in_use = _in_use(networks)
    used = pick_device(device)
    settings = PhotoSettings(min_face, max_face, upscale, strength, device=used, batch_size=batch_size,
                             judge=_judge(reference, enhancers, used) if judged else None, gate=gate or 'warn',
                             background=open_background(background, used) if background else None,
                             detect_scales=scales, templates=templates)
    with ShowSteps(bool(crops) + bool(photos) + len(videos)) as show:
        written = _enhance(networks, crops, refused, settings, show) if crops else []
        of_crops = {*in_use}
        in_use.clear()
        check = _guard(files, targets, overwrite)
        found = _enhance_photos(networks, photos, refused, settings, kinds, check, show) if photos else []
        watched = _enhance_videos(networks, videos, refused, settings, out, overwrite, show)
    _note_cards(enhancers, in_use | of_crops, in_use - templates.keys())
    _report(written, found, watched, refused, out, weights, enhancers, as_json)
    if 'image' in kinds and (seen := _seen(found, upscale)):
        note(seen)
    raise typer.Exit(1 if refused else 0)


def _check_needs(gate: str | None, reference: Path | None, background: str | None, upscale: int, weights: str) -> None:
    """Check that options have those that they need, and that the networks are there."""
    from cface_basicsr.enhancing.request import network_files
    if gate and not reference:
        raise UserError('--gate compares faces with photos of the person: give them by --reference DIR.')
    if background and upscale == 1:
        raise UserError('--background enlarges a photograph around its faces: it needs --upscale 2 or more.')
    for name in filter(None, (weights, background)):
        network_files(name)


def _files_and_videos(inputs: list[Path], out: Path) -> tuple[list['FaceFile'], list[Path]]:
    """The images that are named and those of folders; and the videos."""
    from cface_basicsr.data.images.face_images import find_faces
    from cface_basicsr.enhancing.request import is_video
    videos = [check_file(path, 'Expected a video.') for path in inputs if is_video(path)]
    return find_faces([path for path in inputs if path not in videos], skip=out), videos


def _check_judged(reference: Path | None, crops: Targets) -> None:
    """Check that there are photos of the person, if they are named, and no crops, which get no evidence."""
    from cface_basicsr.data.images.face_images import find_faces
    if crops:
        raise UserError('--reference and --evidence judge faces that are found in photographs, and '
                        f"'{crops[0][0].path}' is a face crop. Say --faces photo, or leave it out.")
    find_faces([reference] if reference else [])


def _check_videos(videos: list[Path], kinds: tuple[str, ...], judged: bool) -> None:
    if videos and (kinds != ('image',) or judged):
        raise UserError(f"'{videos[0]}' is a video, which gets no record and no evidence. Leave --save, --evidence and "
                        '--reference out, or say --reference DIR --gate keep.')


def _in_use(networks: dict[int, Any]) -> set[int]:
    """The scales of the networks that are given a face from now on."""
    scales: set[int] = set()
    for scale, network in networks.items():
        network.register_forward_pre_hook(lambda *any, scale=scale: scales.add(scale))
    return scales


def _note_cards(enhancers: dict[int, 'FaceEnhancer'], used: set[int], unknown: set[int]) -> None:
    """Quote the cards of the networks of some scales, and warn of those that faces were aligned for unasked."""
    from cface_basicsr.cli.show import note, warn
    from cface_basicsr.enhancing.networks import UNKNOWN
    for each in (enhancers[scale] for scale in sorted(used)):
        if each.about:
            note(f'{each.name}: {each.about}')
        if each.scale in unknown:
            warn(f'{each.name}: {UNKNOWN} --template says another one.')


def split_detect_scales(words: list[str], values: list[str]) -> tuple[list[Path], tuple[float, ...] | None]:
    """The paths, and the sizes of copies; None: auto.

    The parser gives an option one value and takes the 2 and 4 of `--detect-scale 1 2 4` for paths, so where the option
    is given, numbers among the paths belong to it. A folder called 4 is written ./4.

    >>> split_detect_scales(['2', '4', 'a.jpg'], ['1'])
    ([PosixPath('a.jpg')], (1.0, 2.0, 4.0))
    >>> split_detect_scales(['4', 'a.jpg'], ['auto'])
    ([PosixPath('4'), PosixPath('a.jpg')], None)

    Raises:
        UserError: a size is not a number or unfit, or no path is left.
    """
    from cface_basicsr.enhancing.request import check_scales
    if not values or values == [_AUTO]:
        return [Path(word) for word in words], None
    given = [number for value in values for number in re.split('[ ,]+', value.strip())]
    given += [word for word in words if _NUMBER.fullmatch(word)]
    if bad := [number for number in given if not _NUMBER.fullmatch(number)]:
        raise UserError(f"--detect-scale: expected numbers such as 1 2 4, or auto, got '{bad[0]}'.")
    scales = tuple(sorted({float(number) for number in given}))
    check_scales(scales)
    paths = [Path(word) for word in words if not _NUMBER.fullmatch(word)]
    if not paths:
        raise UserError('expected a photograph, got only numbers for --detect-scale. A folder called 4 is written ./4.')
    return paths, scales


def _crops_and_photos(targets: Targets, faces: str) -> tuple[Targets, Targets]:
    crops: Targets = []
    photos: Targets = []
    for target in targets:
        is_photo = faces == 'photo' or faces == 'auto' and _is_photo(target[0].path)
        (photos if is_photo else crops).append(target)
    return crops, photos


def _judge(reference: Path | None, enhancers: dict[int, 'FaceEnhancer'], device: 'torch.device') -> 'Judge':
    from cface_basicsr.enhancing.evidence import load_judge
    from cface_basicsr.enhancing.networks import check_not_led
    from cface_basicsr.enhancing.reference import reference_faces
    check_not_led(enhancers.values())
    known = reference_faces([reference]) if reference else None
    return load_judge(known, {scale: each.tables for scale, each in enhancers.items()}, device)


def _targets(faces: list['FaceFile'], out: Path, keep_extension: bool, overwrite: bool) -> tuple[
        list[tuple['FaceFile', Path]], Refused]:
    """Each face with its target; refused: what would overwrite an input, a result, or the result of another face."""
    inputs = {os.path.realpath(face.path) for face in faces}
    taken: dict[Path, FaceFile] = {}
    targets, refused = [], []
    for face in faces:
        name = face.name.name if keep_extension else face.name.stem
        target = out / face.name.with_name(f'{name}.png')
        first = taken.get(target)
        if first and os.path.realpath(first.path) == os.path.realpath(face.path):
            continue  # the same file again, by itself and in a folder
        if first:
            reason = f"'{first.path}' already becomes '{target}'"
            if first.name != face.name:
                reason += f"; with --keep-extension they become '{first.name.name}.png' and '{face.name.name}.png'"
        elif os.path.realpath(target) in inputs:
            reason = f"its result would overwrite the input '{target}'; choose another --out"
        elif target.exists() and not overwrite:
            reason = f"'{target}' exists; --overwrite replaces it"
        else:
            taken[target] = face
            targets.append((face, target))
            continue
        refused.append({'path': str(face.path), 'reason': reason})
    return targets, refused


def _guard(inputs: list['FaceFile'], targets: Targets, overwrite: bool) -> Callable[[Path, Path], None]:
    """Checks that a photograph's result replaces no input, no result of another one and, unasked, no file at all."""
    owners = {os.path.realpath(target): target for _, target in targets}
    protected = {os.path.realpath(face.path) for face in inputs}

    def check(file: Path, target: Path) -> None:
        real = os.path.realpath(file)
        if real in protected:
            raise UserError(f"its result would overwrite the input '{file}'; choose another --out")
        if owners.setdefault(real, target) != target:
            raise UserError(f"'{file}' belongs to '{owners[real]}'; rename the photograph, or save into another --out")
        if file.exists() and not overwrite:
            raise UserError(f"'{file}' exists; --overwrite replaces it")
    return check


@contextmanager
def _refusing(path: Path, refused: Refused) -> Iterator[None]:
    """An error inside is added to what is refused."""
    try:
        yield
    except UserError as error:
        reason = str(error).replace('\n', ' ').removeprefix(f"'{path}' ")
        refused.append({'path': str(path), 'reason': reason})


def _enhance(networks: dict[int, Any], targets: Targets, refused: Refused, settings: 'PhotoSettings',
             show: 'ShowSteps') -> list[str]:
    """Write the results of crops; returns their names, and adds to `refused`."""
    import numpy as np

    from cface_basicsr.data.images.face_images import in_batches, write_face
    from cface_basicsr.evaluation.super_resolution import super_resolve
    written: list[str] = []
    show.start('enhance', len(targets))
    for scale, chosen in _by_scale(targets, networks).items():
        for batch in in_batches(_readable(chosen, 128 // scale, refused), settings.batch_size):
            enhanced = super_resolve(networks[scale], np.stack([lr for _, lr in batch]), device=settings.device,
                                     batch_size=settings.batch_size, names=[f"'{target}'" for target, _ in batch])
            for (target, _), face in zip(batch, enhanced, strict=True):
                write_face(target, face, overwrite=True)  # `_targets` has checked that it may
                written.append(str(target))
            show.advance(len(written))
    show.end('enhance', f'{len(written)} written, {len(refused)} refused')
    return written


def _by_scale(targets: Targets, scales: Collection[int]) -> dict[int, Targets]:
    """Scale -> crops for its network, see `scale_for`; if none takes their size, it says so."""
    from cface_basicsr.data.images.face_images import scale_for
    if len(scales) == 1:
        return {scale: targets for scale in scales}
    found: dict[int, Targets] = {scale: [] for scale in scales}
    for target in targets:
        found[scale_for(dict.fromkeys(scales, min(_size(target[0].path))))].append(target)
    return found


def _readable(targets: Targets, size: int, refused: Refused) -> 'Iterator[tuple[Path, NDArray]]':
    from cface_basicsr.data.images.face_images import read_face, to_low_resolution
    for face, target in targets:
        with _refusing(face.path, refused):
            yield target, to_low_resolution(read_face(face.path), size)


def _is_photo(path: Path) -> bool:
    """Whether an image is larger than what a network takes, or longer; what cannot be read counts as a crop."""
    from cface_basicsr.data.images.face_images import LARGEST_ASPECT, fits
    short, long = sorted(_size(path))
    return not fits(short, 2) or long > LARGEST_ASPECT * short


def _size(path: Path) -> tuple[int, int]:
    """Width and height of an image, upright; (0, 0) of what cannot be read."""
    from cface_basicsr.data.images.face_crop import Rejected, upright_size
    from cface_basicsr.files.text_file import read_whole
    try:
        return upright_size(read_whole(path, 'Expected an image file.'))
    except (Rejected, UserError, OSError):
        return 0, 0


def _enhance_photos(networks: dict[int, Any], targets: Targets, refused: Refused, settings: 'PhotoSettings',
                    kinds: Collection[str], check: Callable[[Path, Path], None], show: 'ShowSteps'
                    ) -> list[dict[str, Any]]:
    """Write the results of photographs; returns their records, and adds to `refused`."""
    from cface_basicsr.enhancing.detector import no_face
    from cface_basicsr.enhancing.photo import eight_bits, enhance_photos
    from cface_basicsr.enhancing.saved import save_photo
    found: list[dict[str, Any]] = []
    search = _Search(targets, refused, show, settings)
    show.start('photographs', len(targets))
    for each, enhanced in enhance_photos(search.opened(), networks, settings, find=search):
        with _refusing(each.photo.path, refused):
            if not enhanced.faces:
                raise no_face(eight_bits(each.photo.pixels), each.photo.path, settings.detect_scales)
            found.append(save_photo(each.photo, enhanced, each.target, kinds, settings.upscale,
                                    lambda file, target=each.target: check(file, target)))
    show.end('photographs', f'{len(found)} written')
    return found


def _enhance_videos(networks: dict[int, Any], videos: list[Path], refused: Refused, settings: 'PhotoSettings',
                    out: Path, overwrite: bool, show: 'ShowSteps') -> list[dict[str, Any]]:
    """Write the results of videos; returns what was done, and adds to `refused`."""
    from cface_basicsr.enhancing.video import enhance_video, video_facts
    found: list[dict[str, Any]] = []
    for video in videos:
        with _refusing(video, refused):
            note = 'not written'
            try:
                facts = video_facts(video)
                target = out / facts.name
                _check_video(target, [each['written'] for each in found], videos, overwrite)
                show.start(video.name, facts.frames)
                report = enhance_video(video, target, networks, settings, advance=show.advance)
                note = f'{report.frames} frames written, {report.broken} could not be decoded'
            finally:
                show.end(video.name, note)
            found.append({'path': str(video), 'written': str(target), **vars(report)})
            if not report.enhanced:
                raise UserError('shows no face that was enhanced')
    return found


def _check_video(target: Path, written: list[str], videos: list[Path], overwrite: bool) -> None:
    if str(target) in written:
        raise UserError(f"another video already becomes '{target}'; save into another --out")
    if os.path.realpath(target) in map(os.path.realpath, videos):
        raise UserError(f"its result would overwrite the input '{target}'; choose another --out")
    if target.exists() and not overwrite:
        raise UserError(f"'{target}' exists; --overwrite replaces it")


class _Search:
    """Opens photographs, finds their faces, and shows how far that is."""

    def __init__(self, targets: Targets, refused: Refused, show: 'ShowSteps', settings: 'PhotoSettings') -> None:
        self.targets, self.refused, self.show, self.settings = targets, refused, show, settings
        self.before, self.name = 0, ''

    def opened(self) -> 'Iterator[tuple[_Opened, Picture]]':
        """(photograph, its pixels), those that can be read."""
        from cface_basicsr.enhancing.photo_file import check_enlarged, read_photo
        for number, (file, target) in enumerate(self.targets):
            self.before, self.name = number, file.path.name
            with _refusing(file.path, self.refused):
                photo = read_photo(file.path)
                check_enlarged(photo, self.settings.upscale)
                yield _Opened(photo, target), photo.pixels
        self.show.advance(self.before + _SEARCH, 'enhancing faces')

    def __call__(self, photo: 'NDArray') -> 'list[DetectedFace]':
        """The faces of the photograph that was opened last."""
        from cface_basicsr.enhancing.detector import detect_faces

        def progress(seen: int, tiles: int) -> None:
            self.show.advance(self.before + _SEARCH * seen / tiles,
                              f'looking for faces, tile {seen} of {tiles}, in {self.name}')
        return detect_faces(photo, scales=self.settings.detect_scales, progress=progress)


def _report(written: list[str], photos: list[dict[str, Any]], videos: list[dict[str, Any]], refused: Refused, out: Path,
            weights: str, enhancers: dict[int, 'FaceEnhancer'], as_json: bool) -> None:
    from cface_basicsr.cli.show import say, say_json, warn
    for entry in refused:
        warn(f"cface: {entry['path']}: {entry['reason']}")
    if as_json:
        networks = {each.name: scale for scale, each in enhancers.items()}
        return say_json({'weights': weights, 'scale': min(enhancers) if len(enhancers) == 1 else None,
                         'networks': networks, 'written': written, 'photos': photos, 'videos': videos,
                         'refused': refused})
    if written:
        say(f"{len(written)} {'face' if len(written) == 1 else 'faces'} in '{out}'")
    for photo in photos:
        for line in _lines_of_photo(photo):
            say(line)
    for video in videos:
        lost = f"; {video['broken']} could not be decoded and are missing" if video['broken'] else ''
        say(f"{video['written']}: {video['enhanced']} faces in {video['frames']} frames enhanced{lost}")


def _seen(photos: list[dict[str, Any]], upscale: int) -> str:
    """How large enhanced faces were drawn, and how large they are shown; '' where none is shown at less than half."""
    heights = sorted(face['height'] for photo in photos for face in _enhanced_faces(photo))
    if not heights or upscale >= _UPSCALE or heights[0] * upscale >= 64:
        return ''
    what, *shown = (' to '.join(dict.fromkeys(f'{times * each:.0f}' for each in (heights[0], heights[-1])))
                    for times in (1, upscale, _UPSCALE))
    return (f'Faces of {what} pixels were drawn at 128 and are shown at {shown[0]}: --upscale {_UPSCALE} shows them at '
            f'{shown[1]}.')


def _enhanced_faces(photo: dict[str, Any]) -> list[dict[str, Any]]:
    return [face for face in photo['faces'] if not face['skipped'] and not face.get('kept')]


def _lines_of_photo(photo: dict[str, Any]) -> Iterator[str]:
    enhanced = _enhanced_faces(photo)
    yield f"{photo['written'] or photo['path']}: {len(enhanced)} of {len(photo['faces'])} faces enhanced"
    for file in photo['files'][1:]:
        yield f'  {file}'
    for number, face in enumerate(photo['faces'], 1):
        if face['skipped']:
            yield f"  face {number} skipped: {face['skipped']}"
        elif 'evidence' in face:
            kept = '; the bicubic face was put back' if face['kept'] else ''
            yield f"  face {number}: {face['evidence']['words']}{kept}"
