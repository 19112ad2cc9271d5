"""A video, frame by frame: as many frames are in memory as the faces of a batch need, however long it is."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cface_basicsr.enhancing.detector import SAME_FACE, DetectedFace, Photo, box_overlap, detect_faces
from cface_basicsr.enhancing.photo import FaceNetwork, Find, PhotoSettings, enhance_photos
from cface_basicsr.enhancing.request import VIDEOS
from cface_basicsr.errors import UserError, check_file, describe_error
from cface_basicsr.files.atomic import replacing

_CONTAINERS = {'.mp4': 'mp4', '.mkv': 'matroska', '.mov': 'mov'}
"""Endings of the files that are written, the ones that more players know first -> PyAV's names of them."""
_QUALITY = '17'
"""x264's constant rate factor: what it loses is hardly seen."""
_NEW = 0.5
"""Share of a frame's own landmarks; the rest are the smoothed ones of the frame before."""
_READ = {'format_whitelist': 'mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg',
         'protocol_whitelist': 'file'}
"""What FFmpeg may take a file for, whatever its name: no list of other files or addresses, which it would open."""
_LARGEST = 50_000_000
"""Most pixels of a frame; 8K has 33 million."""
_MATRICES, _USUAL = (1, 4, 5, 6, 7, 9), 5
"""Numbers of the matrices between YUV and RGB that a file may name, and what is meant where it names none: BT.601."""


@dataclass
class VideoReport:
    """What became of a video.

    Attributes:
        frames: that were written.
        broken: that could not be decoded, and are missing.
        enhanced: faces, summed over the frames; those that were kept as they were are not among them.
    """

    frames: int = 0
    broken: int = 0
    enhanced: int = 0


@dataclass
class SmoothFaces:
    """Finds the faces of a frame, with landmarks that do not tremble: a moving mean over the frames that show them.

    Attributes:
        find: the faces of one frame.
        last: those of the frame before.
    """

    find: Find = detect_faces
    last: list[DetectedFace] = field(default_factory=list)

    def __call__(self, frame: Photo) -> list[DetectedFace]:
        self.last = [self._smoothed(face) for face in self.find(frame)]
        return self.last

    def _smoothed(self, face: DetectedFace) -> DetectedFace:
        before = max(self.last, key=lambda other: box_overlap(other.box, face.box), default=None)
        if before is None or box_overlap(before.box, face.box) <= SAME_FACE:
            return face
        return replace(face, landmarks=_NEW * face.landmarks + (1 - _NEW) * before.landmarks)


class VideoFacts(NamedTuple):
    """What is known of a video before it is decoded.

    Attributes:
        name: of its result: .mp4, which every player knows, of an MP4 or QuickTime file whose sound MP4 can hold, else
            .mkv; or .mov where only that can.
        frames: how many there are, about; 0: unknown.
    """

    name: str
    frames: int


def video_facts(source: Path) -> VideoFacts:
    """What a video becomes, and how long it is.

    Raises:
        UserError: PyAV is not installed, or the file shows no video.
    """
    av = _pyav()
    check_file(source, 'Expected a video.')
    with _opened(av, source) as read:
        picture, sound = read.streams.video[0], next(iter(read.streams.audio), None)
        endings = [each for each in _CONTAINERS if each != '.mp4' or source.suffix.lower() in VIDEOS[:3]]
        ending = next((each for each in endings if _holds(av, each, sound)), '.mkv')
        seconds = (read.duration or 0) / av.time_base
        return VideoFacts(f'{source.stem}{ending}', picture.frames or round(seconds * (picture.average_rate or 0)))


def _holds(av: Any, ending: str, sound: Any) -> bool:
    with av.open(io.BytesIO(), 'w', format=_CONTAINERS[ending]) as trial:
        return sound is None or _copied(trial, sound) is not None


def _copied(written: Any, sound: Any) -> Any:
    """A stream for packets of sound as they are; None where the file cannot hold them."""
    try:
        return written.add_stream_from_template(sound)
    except ValueError:
        return None


def enhance_video(source: str | Path, target: str | Path, networks: Mapping[int, FaceNetwork],
                  settings: PhotoSettings | None = None, find: Find | None = None,
                  advance: Callable[[int], None] = lambda frames: None) -> VideoReport:
    """Super-resolve the small faces of a video; its first sound track is copied as it is.

    Args:
        source: anything that PyAV decodes.
        target: all of it or nothing; H.264 in the container of its ending, or else in Matroska; see `VideoFacts`.
        networks: scale -> network, see `enhance_photos`.
        find: the faces of a frame; None: `detect_faces` in copies of the sizes that the settings name.
        advance: is told how many frames are written.

    Raises:
        UserError: PyAV is not installed, the file shows no video, or its sound does not fit into the container.
    """
    av, settings, report, target = _pyav(), settings or PhotoSettings(), VideoReport(), Path(target)
    check_file(source, 'Expected a video.')
    find = find or partial(detect_faces, scales=settings.detect_scales)
    first = _first_frame(av, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(target) as aside, _opened(av, source) as read, _written(av, aside, target.suffix) as written:
            picture, sound = read.streams.video[0], next(iter(read.streams.audio), None)
            stream = _picture_stream(written, picture, first, settings.upscale)
            copied = _copied(written, sound) if sound else None
            if sound and not copied:
                raise UserError(f"'{source}' has sound that '{target.name}' cannot hold. Convert that to AAC first.")
            frames = _frames(av, read, first, lambda packet: _copy(packet, copied, written), report)
            for place, enhanced in enhance_photos(frames, networks, settings, find=SmoothFaces(find)):
                written.mux(stream.encode(_encodable(av, enhanced.image, place, stream)))
                report.frames += 1
                report.enhanced += sum(face.enhanced for face in enhanced.faces)
                advance(report.frames)
            written.mux(stream.encode())
    except av.error.FFmpegError as error:
        raise UserError(f"'{source}' cannot be written as '{target}' ({describe_error(error)}).") from error
    return report


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise UserError('videos need one more library, PyAV: pip install av') from error
    return av


def _opened(av: Any, source: str | Path) -> Any:
    try:
        # 'file:', as a name may have a colon
        read = av.open(f'file:{source}', options=_READ, metadata_errors='replace')
    except av.error.FFmpegError as error:
        raise UserError(f"'{source}' cannot be read as a video ({describe_error(error)}).") from error
    picture = read.streams.video[0].codec_context if read.streams.video else None
    if not picture:  # no pictures, or of a kind that nobody knows
        read.close()
        raise UserError(f"'{source}' holds no pictures that can be decoded. Expected a video.")
    if picture.width * picture.height > _LARGEST:
        read.close()
        raise UserError(f"'{source}' has frames of {picture.width}x{picture.height} pixels; expected at most "
                        f'{_LARGEST:,} in all. Make it smaller first.')
    picture.options = {'max_pixels': str(_LARGEST)}  # the frames may be larger than their container says
    return read


@contextmanager
def _written(av: Any, path: Path, ending: str) -> Iterator[Any]:
    """A file to write, whose end is written only where nothing has failed before."""
    written = av.open(f'file:{path}', 'w', format=_CONTAINERS.get(ending, 'matroska'))
    try:
        yield written
    except BaseException:
        with suppress(av.error.FFmpegError):
            written.close()
        raise
    written.close()


def _first_frame(av: Any, source: str | Path) -> Any:
    """The first frame that can be decoded: it says the size, how the camera was held, and what the colours mean."""
    with _opened(av, source) as read:
        for packet in read.demux(video=0):
            with suppress(av.error.FFmpegError):
                for frame in packet.decode():
                    return frame
    raise UserError(f"'{source}' has no frame that can be decoded. Copy it again.")


def _picture_stream(written: Any, picture: Any, first: Any, upscale: int) -> Any:
    """Where the enhanced frames go: upright, with the times of the source and its meaning of colours."""
    stream = written.add_stream('libx264', rate=picture.average_rate or 25, options={'crf': _QUALITY})
    height, width = (upscale * side for side in _pixels(first, first).shape[:2])
    stream.width, stream.height = width, height
    stream.pix_fmt = 'yuv444p' if width % 2 or height % 2 else 'yuv420p'
    stream.time_base = stream.codec_context.time_base = picture.time_base
    stream.codec_context.colorspace = _matrix(first)
    stream.codec_context.color_primaries, stream.codec_context.color_trc = first.color_primaries, first.color_trc
    return stream


def _matrix(frame: Any) -> int:
    return int(frame.colorspace) if frame.colorspace in _MATRICES else _USUAL


def _pixels(frame: Any, first: Any) -> Photo:
    """A frame, upright, in the size of the first one."""
    pixels = frame.to_ndarray(format='rgb24', width=first.width, height=first.height, src_colorspace=_matrix(frame))
    return np.ascontiguousarray(np.rot90(pixels, first.rotation // 90))


def _frames(av: Any, read: Any, first: Any, copy: Callable[[Any], None], report: VideoReport
            ) -> Iterator[tuple[int, Photo]]:
    """(time, frame) of each frame; sound on the way is copied, broken frames are counted."""
    streams = [read.streams.video[0], *read.streams.audio[:1]]
    for packet in read.demux(*streams):
        if packet.stream.type == 'audio':
            copy(packet)
            continue
        try:
            for frame in packet.decode():
                yield frame.pts if frame.pts is not None else frame.dts, _pixels(frame, first)
        except av.error.InvalidDataError:
            report.broken += 1


def _copy(packet: Any, stream: Any, written: Any) -> None:
    if packet.dts is not None:  # the last, empty one
        packet.stream = stream
        written.mux(packet)


def _encodable(av: Any, image: Photo, place: int, stream: Any) -> Any:
    matrix = stream.codec_context.colorspace
    frame = av.VideoFrame.from_ndarray(image, format='rgb24').reformat(format=stream.pix_fmt, dst_colorspace=matrix)
    frame.pts, frame.time_base, frame.colorspace = place, stream.time_base, matrix
    return frame
