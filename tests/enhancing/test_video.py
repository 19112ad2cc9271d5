"""Videos that PyAV writes here: frames, times, sound, colours, broken frames, and landmarks that do not tremble."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cface_basicsr.data.images.align import template_points
from cface_basicsr.enhancing import video
from cface_basicsr.enhancing.detector import DetectedFace
from cface_basicsr.enhancing.evidence import Evidence
from cface_basicsr.enhancing.photo import PhotoSettings
from cface_basicsr.enhancing.video import SmoothFaces, VideoFacts, enhance_video, video_facts
from cface_basicsr.errors import UserError
from cface_basicsr.ops.resize import bicubic_resize

av = pytest.importorskip('av', reason='videos need PyAV')
POINTS = template_points('arcface', 128) * 20 / 128
SETTINGS = PhotoSettings(keep_colours=False, batch_size=4)


def face_at(left: float, top: float) -> DetectedFace:
    return DetectedFace(np.array([left, top, left + 20, top + 20], float), 0.9, POINTS + [left, top])


def brighter(images: torch.Tensor) -> torch.Tensor:
    return bicubic_resize(images, (128, 128)) + 0.2


PLAYLISTS = {'hls': '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n',
             'concat': "ffconcat version 1.0\nfile '{}'\n"}


@pytest.mark.parametrize('text', PLAYLISTS.values(), ids=PLAYLISTS)
def test_a_file_that_names_others_is_no_video_and_they_are_not_opened(tmp_path: Path, text: str) -> None:
    other = write_video(tmp_path / 'other.mp4', sound='')
    (tmp_path / 'a.mp4').write_text(text.format(other.name))
    with pytest.raises(UserError, match='a.mp4. cannot be read as a video'):
        video_facts(tmp_path / 'a.mp4')


def test_frames_that_would_not_fit_into_memory_are_refused_by_the_head_of_the_file(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / 'a.mp4', sound='')
    monkeypatch.setattr(video, '_LARGEST', 128 * 96 - 1)
    with pytest.raises(UserError, match=r"a.mp4' has frames of 128x96 pixels; expected at most 12,287 in all"):
        video_facts(tmp_path / 'a.mp4')


def test_the_name_of_a_video_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path('plain.mp4'), sound='').rename('12:30.mp4')
    report = enhance_video('12:30.mp4', '12:31.mp4', {8: brighter}, SETTINGS, lambda frame: [])
    assert report.frames == 12 and video_facts(Path('12:31.mp4')).frames == 12


def write_video(path: Path, frames: int = 12, sound: str = 'aac', colour: tuple[int, int, int] = (1, 1, 1),
                matrix: int | None = None, corner: int = 0) -> Path:
    """24 frames a second of 128x96 in one colour, of which each is brighter by 10 than the one before, and a tone.

    `corner`: that many rows and twice as many columns, from the top left, are white.
    """
    with av.open(str(path), 'w') as file:
        video = file.add_stream('libx264', rate=24, options={'crf': '6', 'g': '1'})
        video.width, video.height, video.pix_fmt = 128, 96, 'yuv420p'
        video.codec_context.colorspace = matrix or 2
        audio = file.add_stream(sound, rate=48000) if sound else None
        for number in range(frames):
            pixels = np.full((96, 128, 3), np.multiply(colour, 60) + 10 * (number % 12), np.uint8)
            pixels[:corner, :2 * corner] = 255
            frame = av.VideoFrame.from_ndarray(pixels, format='rgb24').reformat(format='yuv420p',
                                                                               dst_colorspace=matrix or 5)
            frame.pts, frame.time_base, frame.colorspace = number + number // 6, Fraction(1, 24), matrix or 2
            file.mux(video.encode(frame))
        if audio:
            tone = (0.3 * np.sin(np.arange(24000) / 20)).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(tone, format='fltp', layout='mono')
            samples.sample_rate, samples.pts = 48000, 0
            if not sound.startswith('aac'):
                (samples,) = av.AudioResampler(audio.format.name, 'mono', 48000).resample(samples)
            for packet in [*audio.encode(samples), *audio.encode()]:
                file.mux(packet)
        file.mux(video.encode())
    return path


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(getattr(file.streams, kind)[0]) if packet.size]


def shown(path: Path) -> list[tuple[float, np.ndarray]]:
    """(seconds, pixels) of each frame."""
    with av.open(str(path)) as file:
        return [(round(frame.time, 3), frame.to_ndarray(format='rgb24').astype(int)) for frame in file.decode(video=0)]


def test_landmarks_are_a_moving_mean_of_the_frames_that_show_the_face() -> None:
    frames = iter([[face_at(10, 10)], [face_at(12, 10), face_at(70, 10)], [face_at(10, 10)], [face_at(60, 60)]])
    find = SmoothFaces(lambda frame: next(frames))
    seen = [[tuple((face.landmarks - POINTS)[0].round(6)) for face in find(np.zeros((1, 1, 3), np.uint8))]
            for _ in range(4)]
    assert seen == [[(10, 10)], [(11, 10), (70, 10)], [(10.5, 10)], [(60, 60)]]


@pytest.mark.parametrize('ending', ['mp4', 'mkv'])
def test_a_video_keeps_its_times_and_its_sound_and_only_its_faces_change(tmp_path: Path, ending: str) -> None:
    source, target, told = write_video(tmp_path / f'in.{ending}'), tmp_path / 'out' / f'a.{ending}', []
    report = enhance_video(source, target, {4: brighter}, SETTINGS, lambda frame: [face_at(40, 30)], told.append)
    assert (report.frames, report.broken, report.enhanced) == (12, 0, 12) and told == list(range(1, 13))
    before, after = shown(source), shown(target)
    assert [time for time, _ in after] == [time for time, _ in before]
    assert after[6][0] == pytest.approx(7 / 24, abs=1e-3)  # the seventh frame came late
    assert packets(target, 'audio') == packets(source, 'audio')
    for (_, plain), (_, pixels) in zip(before, after, strict=True):
        assert abs((pixels - plain)[37:43, 47:53].mean() - 51) < 6  # 0.2 * 255
        assert np.abs((pixels - plain)[70:]).max() <= 3


@pytest.mark.parametrize('matrix', [None, 1, 9])  # none told, BT.709 of high definition, BT.2020
def test_colours_stay_as_they_were_whatever_matrix_the_file_names(tmp_path: Path, matrix: int | None) -> None:
    source = write_video(tmp_path / 'in.mp4', 2, colour=(3, 1, 1), matrix=matrix)
    enhance_video(source, tmp_path / 'a.mp4', {4: brighter}, SETTINGS, lambda frame: [])
    for (_, plain), (_, pixels) in zip(shown(source), shown(tmp_path / 'a.mp4'), strict=True):
        assert np.abs(pixels - plain).max() <= 3


def test_a_camera_that_was_held_upright_gives_an_upright_video(tmp_path: Path) -> None:
    source = write_video(tmp_path / 'in.mp4', 2, corner=16)
    plain, turned = (b''.join((number % 2 ** 32).to_bytes(4, 'big') for number in matrix) for matrix in (
        (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30), (0, 1 << 16, 0, -1 << 16, 0, 0, 96 << 16, 0, 1 << 30)))
    content = source.read_bytes()
    place = content.index(plain, content.index(b'tkhd'))
    source.write_bytes(content[:place] + turned + content[place + 36:])
    seen = []
    enhance_video(source, tmp_path / 'a.mp4', {4: brighter}, SETTINGS, lambda frame: seen.append(frame) or [])
    assert len(seen) == 2
    for frame in (*seen, *(pixels for _, pixels in shown(tmp_path / 'a.mp4'))):
        assert frame.shape == (128, 96, 3)
        corners = [frame[top:top + 16, left:left + 16].mean() for top in (0, 112) for left in (0, 80)]
        assert [mean > 200 for mean in corners] == [False, True, False, False]  # turned clockwise: at the top right


@pytest.mark.parametrize(('name', 'sound', 'becomes', 'frames'), [
    ('a.mov', 'aac', 'a.mp4', 12), ('a.mov', '', 'a.mp4', 12), ('a.mov', 'pcm_u8', 'a.mkv', 12),
    ('a.mov', 'pcm_mulaw', 'a.mov', 12), ('a.mkv', 'aac', 'a.mkv', 13)])  # by its length only, and one comes late
def test_a_video_gets_the_container_that_most_players_know_of_those_that_hold_its_sound(
        tmp_path: Path, name: str, sound: str, becomes: str, frames: int) -> None:
    source = write_video(tmp_path / name, 12, sound)
    assert video_facts(source) == VideoFacts(becomes, frames)
    enhance_video(source, tmp_path / 'out' / becomes, {4: brighter}, SETTINGS, lambda frame: [])
    if sound:
        assert packets(tmp_path / 'out' / becomes, 'audio') == packets(source, 'audio')


def test_sound_that_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    source = write_video(tmp_path / 'in.mov', 2, 'pcm_mulaw')
    with pytest.raises(UserError, match=r"in.mov' has sound that 'a.mp4' cannot hold. Convert that to AAC first.$"):
        enhance_video(source, tmp_path / 'a.mp4', {4: brighter}, SETTINGS, lambda frame: [])
    assert [path.name for path in tmp_path.iterdir()] == ['in.mov']


def test_what_the_system_refuses_of_a_video_is_told_in_one_line(tmp_path: Path) -> None:
    """PyAV's errors are errors of the system whose names cannot be set."""
    source = write_video(tmp_path / 'in.mp4', 2)

    def find(frame: np.ndarray) -> list[Any]:
        raise av.error.OSError(28, 'No space left on device')
    with pytest.raises(UserError, match=r"in.mp4' cannot be written as '.*a.mp4' \(OSError: .*No space left on device"):
        enhance_video(source, tmp_path / 'a.mp4', {4: brighter}, SETTINGS, find)


def test_faces_that_are_kept_as_they_were_are_not_counted_as_enhanced(tmp_path: Path) -> None:
    class Nearer:
        """Finds the bicubic face nearer to the person in the first frame only."""

        def look(self, sr: np.ndarray, *more: Any) -> list[Evidence]:
            return [Evidence(0.1, 0.5, 0.6 if number == 0 else 0.4) for number in range(len(sr))]
    settings = PhotoSettings(keep_colours=False, judge=Nearer(), gate='keep')
    source = write_video(tmp_path / 'in.mkv', 3, '')
    report = enhance_video(source, tmp_path / 'a.mkv', {4: brighter}, settings, lambda frame: [face_at(40, 30)])
    assert (report.frames, report.enhanced) == (3, 2)


@pytest.mark.parametrize('frames', [24, 48])
def test_as_many_frames_are_held_as_the_faces_of_a_batch_need_however_long_the_video_is(
        tmp_path: Path, frames: int) -> None:
    source, taken, written, held = write_video(tmp_path / 'in.mkv', frames, sound=''), [0], [0], []

    def find(frame: np.ndarray) -> list[DetectedFace]:
        taken[0] += 1
        held.append(taken[0] - written[0])
        return [face_at(40, 30)] * (taken[0] % 2)

    def count(number: int) -> None:
        written[0] = number
    enhance_video(source, tmp_path / 'a.mkv', {4: brighter}, SETTINGS, find, count)
    assert (taken[0], written[0], max(held)) == (frames, frames, 8)  # 4 faces are in 7 or 8 frames


def test_a_broken_frame_is_counted_and_the_others_are_there(tmp_path: Path) -> None:
    source = write_video(tmp_path / 'in.mp4', sound='')
    content, middle = source.read_bytes(), packets(source, 'video')[6]
    place = content.index(middle)
    source.write_bytes(content[:place] + b'\xff' * len(middle) + content[place + len(middle):])
    report = enhance_video(source, tmp_path / 'a.mp4', {4: brighter}, None, lambda frame: [])
    assert (report.frames, report.broken) == (11, 1) and len(shown(tmp_path / 'a.mp4')) == 11


@pytest.mark.parametrize('what', ['text', 'cut', 'sound'])
def test_what_is_not_a_video_is_refused_and_nothing_is_left(tmp_path: Path, what: str) -> None:
    source = tmp_path / 'in.mkv'
    if what == 'text':
        source.write_bytes(b'no video')
    elif what == 'cut':
        source.write_bytes(write_video(tmp_path / 'whole.mkv').read_bytes()[:600])
        (tmp_path / 'whole.mkv').unlink()
    else:
        with av.open(str(source), 'w') as file:
            audio = file.add_stream('aac', rate=48000)
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format='fltp', layout='mono')
            samples.sample_rate = 48000
            for packet in [*audio.encode(samples), *audio.encode()]:
                file.mux(packet)
    said = {'text': 'cannot be read as a video', 'cut': 'cannot be read as a video|no frame that can be decoded',
            'sound': 'holds no pictures that can be decoded. Expected a video'}
    with pytest.raises(UserError, match=f"in.mkv' .*({said[what]})"):
        enhance_video(source, tmp_path / 'out.mkv', {4: brighter})
    assert [path.name for path in tmp_path.iterdir()] == ['in.mkv']


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    source, seen = write_video(tmp_path / 'in.mp4'), []

    def find(frame: np.ndarray) -> list[Any]:
        seen.append(0)
        if len(seen) == 9:
            raise UserError('the disk is full.')
        return [face_at(40, 30)]
    with pytest.raises(UserError, match='the disk is full'):
        enhance_video(source, tmp_path / 'a.mp4', {4: brighter}, SETTINGS, find)
    assert [path.name for path in tmp_path.iterdir()] == ['in.mp4']
