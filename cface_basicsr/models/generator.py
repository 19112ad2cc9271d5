"""The scale of a generator, the reach of views, and the logits of a relativistic discriminator."""

from torch import Tensor, nn

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import scale_of
from cface_basicsr.ops.ranks import moments_over_ranks
from cface_basicsr.ops.views import MOST_OUTSIDE, view_outside
from cface_basicsr.options import Views


def check_scale_of(network: nn.Module, scale: int) -> None:
    """Check that a generator enlarges by the scale of the option file, by one small image; it comes back in eval mode.

    Raises:
        UserError: it enlarges by another, or takes no image.
    """
    found = scale_of(network, "option 'network_g'")
    if found != scale:
        raise UserError(f"option 'network_g': {type(network).__name__} with these arguments enlarges {found} times, "
                        f"and 'scale' is {scale}. Take a network that has this scale.")


def check_views(views: Views, side: int) -> None:
    """Check that views show the image and not what lies around it.

    Args:
        side: the smaller one of the image, in pixels.

    Raises:
        UserError: a view may reach further beyond the image than `MOST_OUTSIDE`.
    """
    outside = view_outside(views.shift, views.scale, side)
    if outside > MOST_OUTSIDE:
        raise UserError(f"option 'train.views': a view may leave the image of {side} pixels by {100 * outside:.0f} % "
                        f"of its side, expected at most {100 * MOST_OUTSIDE:g} %. Lower 'shift' or 'scale'.")


def relative(logits: Tensor, others: Tensor) -> Tensor:
    """Logits (B, 1, …) minus the mean of others over the global batch: ESRGAN's relativistic average discriminator."""
    mean = moments_over_ranks(others)[0]
    return logits - mean.view(1, -1, *[1] * (logits.ndim - 2))
