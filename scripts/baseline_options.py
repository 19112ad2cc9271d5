"""Writes options/baselines/: the compared systems at x2, x4 and x8, all from this one place.

    python scripts/baseline_options.py

The three scales of a system cannot drift apart, and a test compares the files with what this script writes. Where each
number comes from stands in docs/baselines.md.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / 'options' / 'baselines'
SCALES = (2, 4, 8)

HEAD = """\
{about}
#   python basicsr/train.py -opt options/baselines/{name}.yml
# Written by scripts/baseline_options.py: change it there, for all three scales.
plugin: !!python/name:cface_basicsr.register.NAME
name: {name}
model_type: {model}
scale: {scale}
num_gpu: auto
manual_seed: 0

datasets:
  train:
    name: casia
    type: {dataset}
    dataroot_gt: datasets/casia/train/hr.lmdb
    dataroot_lq: datasets/casia/train/lr_x{scale}.lmdb
    io_backend: {{type: lmdb}}
{sampling}
    batch_size: {batch}{space}# of all devices together
    num_worker_per_gpu: 4
    persistent_workers: true
  val:
    name: casia_test
    type: FacePairDataset
    dataroot_gt: datasets/casia/test/hr.lmdb
    dataroot_lq: datasets/casia/test/lr_x{scale}.lmdb
    io_backend: {{type: lmdb}}
    num_images: 100

"""

TAIL = """
val:
  val_freq: 5000
  save_img: true
  metrics:
    psnr: {type: calculate_psnr, crop_border: 0, test_y_channel: false}
    ssim: {type: calculate_ssim, crop_border: 0, test_y_channel: false}

logger:
  print_freq: 100
  save_checkpoint_freq: 5000
  use_tb_logger: true
"""

PAIRS = """\
    gt_size: 128               # the whole face
    use_hflip: true
    use_rot: false             # faces stand upright"""

LABELLED = """\
    compare_mode: none         # labels, and no compare image
    use_hflip: true"""


@dataclass(frozen=True)
class Training:
    """One option file a scale. Texts are YAML; `SCALE` in them is filled in."""

    system: str
    about: str
    model: str
    batch: int
    networks: str
    train: str
    path: str = '{}'
    labelled: bool = False

    def text(self, scale: int) -> str:
        """The option file at a scale."""
        about = textwrap.fill(' '.join(self.about.split()), 120, initial_indent='# ', subsequent_indent='# ')
        head = HEAD.format(
            about=about, name=f'{self.system}_x{scale}', model=self.model, scale=scale,
            dataset='CFaceTripletDataset' if self.labelled else 'PairedImageDataset',
            sampling=LABELLED if self.labelled else PAIRS, batch=self.batch, space=' ' * (15 - len(str(self.batch))))
        path = f'path: {self.path}' if self.path == '{}' else f'path:\n{_indented(self.path)}'
        body = f'{_block(self.networks)}\n{path}\n\ntrain:\n{_indented(self.train)}'
        return (head + body).replace('SCALE', str(scale)) + TAIL


def _block(text: str) -> str:
    return textwrap.dedent(text).strip('\n') + '\n'


def _indented(text: str) -> str:
    return textwrap.indent(_block(text), '  ')


def _every(step: int, total: int) -> str:
    """Milestones at each multiple of `step` below `total`, as a YAML list over several lines."""
    lines = textwrap.wrap(', '.join(str(each) for each in range(step, total, step)), 100)
    return '[' + ('\n' + ' ' * 16).join(lines) + ']'


def _adam(lr: str, beta2: float = 0.999, more: str = '', label: str = 'g') -> str:
    return f"""
optim_{label}:
  type: Adam
  lr: !!float {lr}
  betas: [0.9, {beta2}]{more}"""


def _steps(milestones: str, gamma: float) -> str:
    return f"""
scheduler:
  type: MultiStepLR
  milestones: {milestones}
  gamma: {gamma}"""


def _gan(weight: str) -> str:
    return f"""
gan_opt:
  type: GANLoss
  gan_type: vanilla
  real_label_val: 1.0
  fake_label_val: 0.0
  loss_weight: !!float {weight}

net_d_iters: 1
net_d_init_iters: 0"""


L1 = """
pixel_opt:
  type: L1Loss
  loss_weight: 1.0
  reduction: mean"""

_HALVED = _steps('[200000, 400000, 600000, 800000]', 0.5)

VDSR = Training(
    'vdsr', 'VDSR xSCALE (Kim et al., CVPR 2016): squared error of the enlarged face, by clipped SGD at a high rate.',
    'CFaceModel', 64,
    networks="""
    network_g:
      type: VDSR
      scale: SCALE
      num_feat: 64
      num_block: 18              # between the first and the last: 20 layers
    """,
    train="""
    total_iter: 9960             # the paper's 80 epochs
    optim_g:                     # of our models: with clipping and a schedule of its own
      type: SGD
      lr: 0.1
      momentum: 0.9
      weight_decay: !!float 1e-4
      clip_norm: 0.4             # of all gradients together; clip_step: the paper's +-theta / lr, theta unpublished
      schedule: {type: steps, milestones: [2490, 4980, 7470], gamma: 0.1}
    pixel_opt:
      type: SumSquaredLoss       # summed over an image, halved
      loss_weight: 1.0
    """)

WAVELET = Training(
    'wavelet_srnet', 'Wavelet-SRNet xSCALE (Huang et al., ICCV 2017): three wavelet terms and a texture term.',
    'SRModel', 64,
    networks="""
    network_g:
      type: WaveletSRNet
      scale: SCALE
      num_feat: 64
      num_block: 2               # a stage
    """,
    train='total_iter: 1271500          # "up to 500 epochs": of CelebA, 162,770 faces' +
    _adam('2e-4', more='\n  weight_decay: !!float 5e-4') + _steps('[]             # constant', 1.0) + """
pixel_opt:
  type: WaveletLoss
  scale: SCALE
  detail_weight: 0.99
  lowpass_weight: 0.01
  image_weight: 0.1
  texture_weight: 1.0
  texture_factor: 1.2""")

EDSR = Training(
    'edsr', "EDSR xSCALE (Lim et al., CVPRW 2017), the paper's full network, by BasicSR's own classes: L1.",
    'SRModel', 16,
    networks="""
    network_g:
      type: EDSR
      num_in_ch: 3
      num_out_ch: 3
      num_feat: 256              # 64 and 16 blocks, res_scale 1: the baseline of the paper
      num_block: 32
      upscale: SCALE
      res_scale: 0.1
      img_range: 255.
      rgb_mean: [0.4488, 0.4371, 0.4040]
    """,
    train='total_iter: 300000' + _adam('1e-4') + _steps('[200000]', 0.5) + L1)

SRRESNET_G = """
network_g:
  type: SRResNet
  scale: SCALE
  num_feat: 64
  num_block: 16
"""

SRRESNET = Training(
    'srresnet', 'SRResNet xSCALE (Ledig et al., CVPR 2017): squared error; the start of SRGAN.', 'SRModel', 16,
    networks=SRRESNET_G,
    train='total_iter: 1000000' + _adam('1e-4') + _steps('[]             # constant', 1.0) + """
pixel_opt:
  type: MSELoss
  loss_weight: 1.0
  reduction: mean""")

SRGAN = Training(
    'srgan', 'SRGAN xSCALE (Ledig et al., CVPR 2017): VGG19 features and a GAN, from srresnet_xSCALE.yml.',
    'SRGANModel', 16,
    networks=SRRESNET_G + """
network_d:
  type: SRGANDiscriminator
  input_size: 128
""",
    path='pretrain_network_g: experiments/srresnet_xSCALE/models/net_g_latest.pth',
    train='total_iter: 200000' + _adam('1e-4') + _adam('1e-4', label='d') + _steps('[100000]', 0.1) + """
perceptual_opt:              # BasicSR's PerceptualLoss, with a file for VGG19 and an l2 that works
  type: VGGPerceptualLoss
  layer: relu5_4             # phi_5,4, after the activation
  criterion: l2
  perceptual_weight: 0.006   # the paper's features are divided by 12.75
  weights: ~                 # a VGG19 file; ~: torch's hub folder, downloaded if it is not there""" + _gan('1e-3'))

DBPN = Training(
    'dbpn', 'D-DBPN xSCALE (Haris et al., CVPR 2018), seven stages: L1.', 'SRModel', 20,
    networks="""
    network_g:
      type: DBPN
      scale: SCALE
      num_feat: 64
      num_shallow_feat: 256
      num_stage: 7
    """,
    train='total_iter: 1000000' + _adam('1e-4') + _steps('[500000]', 0.1) + L1)

RDN = Training(
    'rdn', 'RDN xSCALE (Zhang et al., CVPR 2018), 16 blocks of 8 layers: L1.', 'SRModel', 16,
    networks="""
    network_g:
      type: RDN
      scale: SCALE
      num_feat: 64
      num_block: 16
      num_layer: 8
      num_grow_ch: 64
    """,
    train='total_iter: 1000000' + _adam('1e-4') + _HALVED + L1)

SICNN_G = """
network_g:
  type: SICNN
  scale: SCALE
  num_feat: 64
  num_grow_ch: 32
  num_dense: 6
"""

SICNN_PRE = Training(
    'sicnn_pre', 'SICNN xSCALE (Zhang et al., ECCV 2018), first phase: CNN_H alone learns by squared error.',
    'SRModel', 48,
    networks=SICNN_G,
    train="""total_iter: 200000
optim_g:
  type: RMSprop
  lr: !!float 2.5e-4
  alpha: 0.99
  weight_decay: !!float 2e-4""" + _steps(_every(4000, 200000), 0.85) + """
pixel_opt:
  type: SumSquaredLoss
  loss_weight: 3.96881       # (255 / 128)^2: the authors' pixels are (v - 127.5) / 128""")

SICNN = Training(
    'sicnn', """SICNN xSCALE (Zhang et al., ECCV 2018), second phase: CNN_R by A-Softmax on SR and HR, CNN_H by L_SR and
    L_SI, in turns. From sicnn_pre_xSCALE.yml and stage 0.""", 'SICNNModel', 40, labelled=True,
    networks=SICNN_G + """
network_r:
  type: SphereFace20
  input_size: [128, 128]
  feature_length: 512
network_c:
  type: ASoftmaxHead
  feature_length: 512
  num_classes: ~             # read from the labels
""",
    path="""
    pretrain_network_g: experiments/sicnn_pre_xSCALE/models/net_g_latest.pth
    pretrain_network_r: experiments/cface_stage0/models/net_r_latest.pth
    pretrain_network_c: experiments/cface_stage0/models/net_c_latest.pth
    """,
    train='total_iter: 30000            # both turns are one iteration here, two in the authors\' solver' + ''.join(f"""
optim_{label}:{comment}
  type: SGD
  lr: 0.01
  momentum: 0.9
  weight_decay: !!float 2.5e-4
  schedule: {{type: steps, milestones: {_every(3000, 30000)}, gamma: 0.8}}"""
        for label, comment in (('g', '                     # CNN_H'), ('r', '                     # CNN_R'))) + """
pixel_opt:                   # L_SR
  type: SumSquaredLoss
  loss_weight: 0.00396881    # 0.001 (255 / 128)^2: the authors' pixels are (v - 127.5) / 128
identity_opt:                # L_SI
  type: SuperIdentityLoss
  loss_weight: 0.005         # 0.01, halved as in Caffe's Euclidean loss
recognition_opt:             # A-Softmax at a constant lambda of 12
  type: ASoftmaxLoss
  margin: 4
  lambda_base: 12.
  lambda_min: 12.""")

ESRGAN_G = """
network_g:
  type: FaceRRDBNet          # BasicSR's RRDBNet at x4; its x2 is another network, and it has no x8
  scale: SCALE
  num_feat: 64
  num_block: 23
  num_grow_ch: 32
"""

ESRGAN_PSNR = Training(
    'esrgan_psnr', 'ESRGAN xSCALE (Wang et al., ECCVW 2018), first phase: L1. The start of esrgan_xSCALE.yml.',
    'SRModel', 16, networks=ESRGAN_G, train='total_iter: 1000000' + _adam('2e-4', 0.99) + _HALVED + L1)

ESRGAN = Training(
    'esrgan', """ESRGAN xSCALE (Wang et al., ECCVW 2018), second phase: relativistic average GAN, VGG19 features
    before the activation and a little L1, from esrgan_psnr_xSCALE.yml.""", 'ESRGANModel', 16,
    networks=ESRGAN_G + """
network_d:
  type: VGGStyleDiscriminator
  num_in_ch: 3
  num_feat: 64
  input_size: 128
""",
    path='pretrain_network_g: experiments/esrgan_psnr_xSCALE/models/net_g_latest.pth',
    train='total_iter: 400000' + _adam('1e-4', 0.99) + _adam('1e-4', 0.99, label='d') +
    _steps('[50000, 100000, 200000, 300000]', 0.5) + """
pixel_opt:
  type: L1Loss
  loss_weight: !!float 1e-2
  reduction: mean
perceptual_opt:              # BasicSR's PerceptualLoss, with a file for VGG19
  type: VGGPerceptualLoss
  layer: conv5_4             # before the activation
  criterion: l1
  perceptual_weight: 1.0
  weights: ~                 # a VGG19 file; ~: torch's hub folder, downloaded if it is not there""" + _gan('5e-3'))

SRFBN = Training(
    'srfbn', 'SRFBN xSCALE (Li et al., CVPR 2019), four steps of six groups: L1 of the image after each step.',
    'SRModel', 16,
    networks="""
    network_g:
      type: SRFBN
      scale: SCALE
      num_feat: 64
      num_step: 4
      num_group: 6
    """,
    train='total_iter: 1000000' + _adam('1e-4') + _HALVED + """
pixel_opt:
  type: MultiStepL1Loss      # the mean over the steps
  loss_weight: 1.0""")

TRAININGS = (VDSR, WAVELET, EDSR, SRRESNET, SRGAN, DBPN, RDN, SICNN_PRE, SICNN, ESRGAN_PSNR, ESRGAN, SRFBN)


def files() -> Iterator[tuple[str, str]]:
    """(file name, text) of every option file of the compared systems."""
    for training in TRAININGS:
        for scale in SCALES:
            yield f'{training.system}_x{scale}.yml', training.text(scale)


if __name__ == '__main__':
    FOLDER.mkdir(exist_ok=True)
    for file_name, text in files():
        (FOLDER / file_name).write_text(text, encoding='utf-8')
