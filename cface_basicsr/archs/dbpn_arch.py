"""D-DBPN (Haris et al., CVPR 2018): features go up and down repeatedly, each time correcting the error made.

Up-projections and down-projections alternate; each one sees all earlier features of its resolution, newest first, and
the image is computed from those of all up-projections. Of the authors' variants this is the one of the paper (T = 7,
256 and 64 channels), without a global skip. Facts from their code (alterzero): PReLU with one slope per layer, kernel
and stride by scale, He initialization by torch's fan-in, range [0, 1] without a mean shift.
"""

import torch
from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.archs.layers import doublings, initialize, projection


class Projection(nn.Module):
    """An up-projection or a down-projection unit.

    there(x) + there'(back(there(x)) - x): what is lost on the way there and back is projected once more and added.

    Args:
        num_feat: width.
        scale: ratio of the two sizes.
        up: True from the small to the large size, False the other way.
        num_inputs: number of earlier features; if more than one, a 1x1 convolution reduces them first.

    Shape: (B, num_inputs num_feat, h, w) to (B, num_feat, scale h, scale w); to (…, h / scale, w / scale) unless `up`.
    """

    def __init__(self, num_feat: int, scale: int, up: bool, num_inputs: int) -> None:
        super().__init__()
        there, back = (nn.ConvTranspose2d, nn.Conv2d) if up else (nn.Conv2d, nn.ConvTranspose2d)
        self.reduce = nn.Identity() if num_inputs == 1 else _activated(nn.Conv2d(num_inputs * num_feat, num_feat, 1))
        self.there, self.back, self.correct = (projection(kind, num_feat, scale) for kind in (there, back, there))

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        projected = self.there(x)
        return projected + self.correct(self.back(projected) - x)


@registration.arch
class DBPN(nn.Module):
    """Low-resolution images to images `scale` times as large.

    Args:
        scale: 2, 4 or 8.
        num_in_ch, num_out_ch: channels in and out.
        num_feat: width of the projection units (n_R).
        num_shallow_feat: width of the first convolution (n_0).
        num_stage: number of up-projection units (T); there is one down-projection fewer.

    Shape: (B, num_in_ch, h, w) RGB in [0, 1] to (B, num_out_ch, scale h, scale w), nominally in [0, 1], not clamped.

    Raises:
        UserError: the scale is not 2, 4 or 8.
    """

    def __init__(self, *, scale: int = 4, num_in_ch: int = 3, num_out_ch: int = 3, num_feat: int = 64,
                 num_shallow_feat: int = 256, num_stage: int = 7) -> None:
        super().__init__()
        doublings(scale, 'DBPN')
        self.head = nn.Sequential(_activated(nn.Conv2d(num_in_ch, num_shallow_feat, 3, padding=1)),
                                  _activated(nn.Conv2d(num_shallow_feat, num_feat, 1)))
        # the head's features are in no concatenation: the first two up-projections have one input each
        self.up = nn.ModuleList(Projection(num_feat, scale, True, max(1, stage)) for stage in range(num_stage))
        self.down = nn.ModuleList(Projection(num_feat, scale, False, stage + 1) for stage in range(num_stage - 1))
        self.tail = nn.Conv2d(num_stage * num_feat, num_out_ch, 3, padding=1)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        large = self.up[0](self.head(x))
        small: list[Tensor] = []
        for down, up in zip(self.down, self.up[1:], strict=True):
            small = [down(large), *small]
            large = torch.cat([up(torch.cat(small, 1)), large], 1)  # newest first
        return self.tail(large)


def _activated(conv: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.PReLU())
