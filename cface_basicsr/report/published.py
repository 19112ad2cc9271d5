"""The paper's own numbers, Tables 1 to 7 (Han et al., JAIR 2022). Trained and measured on other data than ours.

Training was on CASIA-WebFace (494,414 photos); Tables 1 to 3, 6 and 7 measure on LFW, 4 and 5 on CelebA. The text
below holds the digits as printed; `published` turns them into our units.
"""

from dataclasses import dataclass

from cface_basicsr.errors import UserError

_ACCURACY, _RESTORATION, _OPEN_SET = ('accuracy',), ('psnr', 'ssim'), ('vr', 'dir')
_ABLATION = ('accuracy', 'vr', 'dir', 'psnr', 'ssim')
_PER_CENT = ('vr', 'dir')
OURS = 'C-Face (Ours)'
"""How the paper's tables call what its section 5.2 calls C-Face-v2."""


@dataclass(frozen=True)
class PublishedTable:
    """One table of the paper.

    Attributes:
        number: 1 to 7.
        measured_on: LFW or CelebA.
        rows: name as printed, in the printed order -> (scale, measure) -> value. Measures: accuracy, vr, dir, ssim
            (shares in [0, 1]), psnr (dB).
    """

    number: int
    measured_on: str
    rows: dict[str, dict[tuple[int, str], float]]

    def of(self, system: str) -> dict[tuple[int, str], float]:
        """The numbers of one of our rows; empty where the paper has no such row. C-Face-v2 is its 'C-Face (Ours)'."""
        return self.rows.get({'C-Face-v2': OURS}.get(system, system), {})

    @property
    def source(self) -> str:
        """Which table and which data, in words."""
        return (f"Table {self.number} of the C-Face paper, published on other data: trained on CASIA-WebFace (494,414 "
                f'photos), measured on {self.measured_on}')


_TEXTS = {
    1: ('LFW', (2, 4, 8), _ACCURACY, '''
        HR            0.9508 0.9508 0.9508
        Bicubic       0.9472 0.8775 0.6460
        VDSR          0.9487 0.9152 0.7442
        Wavelet-SRNet 0.9483 0.9340 0.8688
        EDSR          0.9468 0.9330 0.8460
        SRGAN         0.9495 0.9315 0.8437
        DBPN          0.9487 0.9323 0.8633
        RDN           0.9482 0.9365 0.8750
        SICNN         0.9457 0.9103 0.7243
        ESRGAN        0.9505 0.9338 0.8747
        SRFBN         0.9463 0.9338 0.8603
        C-Face (Ours) 0.9503 0.9403 0.8897'''),
    2: ('LFW', (2, 4, 8), _RESTORATION, '''
        Bicubic       36.5394 0.9596 29.9898 0.8659 24.4935 0.6563
        VDSR          37.3361 0.9648 31.6599 0.8974 25.7980 0.7069
        Wavelet-SRNet 37.8071 0.9669 33.2989 0.9232 27.9486 0.7989
        EDSR          38.0262 0.9675 33.2594 0.9198 27.5588 0.7820
        SRGAN         37.7331 0.9653 32.6060 0.9094 27.0180 0.7547
        DBPN          38.1096 0.9679 33.5679 0.9236 28.0302 0.7976
        RDN           38.1444 0.9680 33.6732 0.9245 28.2989 0.8088
        SICNN         36.0144 0.9544 30.8252 0.8822 25.1120 0.6978
        ESRGAN        37.5245 0.9645 33.4906 0.9233 28.0794 0.8001
        SRFBN         38.0842 0.9679 33.2063 0.9199 27.6855 0.7888
        C-Face (Ours) 37.8452 0.9665 32.9545 0.9132 27.5794 0.7792'''),
    3: ('LFW', (2, 4, 8), _OPEN_SET, '''
        HR            72.1141 36.2393 72.1141 36.2393 72.1141 36.2393
        Bicubic       68.1243 32.6806 27.7407 3.8953 0.8822 0.3114
        VDSR          70.0296 33.9750 46.2373 12.5788 1.0314 0.2968
        Wavelet-SRNet 70.7067 35.4183 61.4134 25.3992 27.8256 9.3985
        EDSR          70.9778 35.6552 58.5329 22.2884 19.6761 5.8050
        SRGAN         71.1067 34.9254 57.7483 20.6052 18.9507 6.3029
        DBPN          71.2264 36.2539 60.8500 23.8256 25.2759 9.5752
        RDN           70.5374 35.0639 61.1352 24.2950 29.0899 9.1727
        SICNN         69.8254 33.5369 42.4736 8.6124 1.0663 0.4661
        ESRGAN        71.0270 36.1958 61.4914 25.0623 26.0105 9.3612
        SRFBN         71.1204 35.8408 59.4563 22.1702 21.8458 8.3347
        C-Face (Ours) 71.2884 36.3369 63.2833 26.0716 30.8874 10.3348'''),
    4: ('CelebA', (2, 4, 8), _ACCURACY, '''
        HR            0.9188 0.9188 0.9188
        Bicubic       0.9137 0.8597 0.6203
        VDSR          0.9177 0.8802 0.7313
        Wavelet-SRNet 0.9188 0.9022 0.8438
        EDSR          0.9178 0.8965 0.8097
        SRGAN         0.9155 0.8947 0.8062
        DBPN          0.9188 0.9018 0.8357
        RDN           0.9197 0.8995 0.8477
        SICNN         0.9178 0.8753 0.7070
        ESRGAN        0.9172 0.8985 0.8343
        SRFBN         0.9165 0.8970 0.8307
        C-Face (Ours) 0.9202 0.9043 0.8538'''),
    5: ('CelebA', (2, 4, 8), _RESTORATION, '''
        Bicubic       34.2380 0.9449 28.4892 0.8407 23.7447 0.6410
        VDSR          35.0572 0.9520 30.0858 0.8770 25.1269 0.6987
        Wavelet-SRNet 35.7770 0.9564 31.7079 0.9073 27.2819 0.7918
        EDSR          35.9918 0.9569 31.6853 0.9038 26.8454 0.7750
        SRGAN         35.5009 0.9518 31.0906 0.8924 26.3385 0.7477
        DBPN          36.1076 0.9579 31.9608 0.9078 27.3514 0.7917
        RDN           36.0980 0.9579 32.0567 0.9089 27.5843 0.8013
        SICNN         34.0152 0.9381 29.3030 0.8569 24.6323 0.6885
        ESRGAN        35.1837 0.9502 31.8892 0.9075 27.3576 0.7924
        SRFBN         36.0469 0.9576 31.6743 0.9043 27.0613 0.7839
        C-Face (Ours) 35.5605 0.9540 31.3789 0.8961 26.8520 0.7691'''),
    6: ('LFW', (4,), _ABLATION, '''
        Random 0.9350 62.7250 24.6500 33.0463 0.9148
        k=1    0.9380 62.7045 24.4298 32.3248 0.9040
        k=2    0.9392 62.6514 25.6149 32.8596 0.9122
        k=3    0.9403 63.2833 26.0716 32.9545 0.9132
        k=4    0.9392 63.9404 27.0118 32.9347 0.9133
        k=5    0.9380 63.2339 26.7296 33.0028 0.9140'''),
    7: ('LFW', (4,), _ABLATION, '''
        version 1   0.9337 60.3485 22.1485 33.4452 0.9217
        version 2   0.9403 63.2833 26.0716 32.9545 0.9132
        version 2-1 0.9382 63.3349 24.7008 32.8952 0.9123
        version 2-2 0.9352 61.6216 24.1057 33.0494 0.9137
        version 2-3 0.9388 63.7920 24.8658 32.8045 0.9102'''),
}


def published(number: int) -> PublishedTable:
    """A table of the paper in our units.

    The scale of Tables 6 and 7 is not printed; their rows 'k=3' and 'version 2' are the x4 numbers of Tables 1 to 3.

    Args:
        number: 1 to 7.

    >>> published(3).of('C-Face-v2')[8, 'dir']
    0.103348
    """
    if number not in _TEXTS:
        raise UserError(f'the paper has Tables 1 to 7, there is no Table {number}.')
    measured_on, scales, measures, text = _TEXTS[number]
    places = [(scale, measure) for scale in scales for measure in measures]
    rows = {}
    for line in text.strip().splitlines():
        words = line.split()
        name, digits = ' '.join(words[:-len(places)]), words[-len(places):]
        rows[name] = {place: _in_our_units(place[1], word) for place, word in zip(places, digits, strict=True)}
    return PublishedTable(number, measured_on, rows)


def _in_our_units(measure: str, digits: str) -> float:
    return round(float(digits) / 100, 6) if measure in _PER_CENT else float(digits)
