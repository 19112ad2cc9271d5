"""Networks of other projects, which spandrel knows by the names of their weights, where it is installed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cface_basicsr.errors import UserError, describe_error


class SpandrelNetwork(nn.Module):
    """A super-resolution network of another project; spandrel pads its input where it has to.

    Args:
        content: of the file, as `read_network_file` gives it, so that nothing in it is run.
        path: of the file, for messages.

    Shape: (B, 3, h, w) in [0, 1] to (B, 3, s h, s w) in [0, 1].

    Raises:
        UserError: spandrel does not know the weights, or they are not those of a network for RGB images.
    """

    def __init__(self, content: Mapping[str, Any], path: Path) -> None:
        super().__init__()
        from spandrel import ImageModelDescriptor, ModelLoader
        try:
            self._known = ModelLoader().load_from_state_dict(dict(content))
        except Exception as error:  # UnsupportedModelError, or what a network finds wrong with its weights
            raise UserError(f"weights file '{path}' does not say which network it holds, and spandrel does not know it "
                            f'({describe_error(error)}).') from error
        known = self._known
        if not isinstance(known, ImageModelDescriptor) or (known.input_channels, known.output_channels) != (3, 3):
            raise UserError(f"weights file '{path}' holds a {known.architecture.name}, which does not turn RGB images "
                            'into RGB images.')
        self.body = known.model  # moves with this module

    def forward(self, x: Tensor) -> Tensor:
        return self._known(x)
