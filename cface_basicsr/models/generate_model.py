"""Stage 2: N_SR super-resolves a whole store of LR faces into D_SR; `basicsr/test.py` runs it."""

from typing import Any

from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from torch import nn

from cface_basicsr import registration
from cface_basicsr.files.network_file import AVERAGED, load_weights
from cface_basicsr.models.stage import StageModel


@registration.model
class GenerateModel(StageModel, SRModel):
    """Hands its generator to the data set (CFaceGenerateDataset), which writes the store. Nothing is measured."""

    def load_network(self, net: nn.Module, load_path: str, strict: bool = True, param_key: str = 'params') -> None:
        """Load what `cface generate` would: averaged weights (EMA) if there are any, unless `param_key_g` is set."""
        named = self.opt['path'].get('param_key_g')
        load_weights(self.get_bare_model(net), load_path, (named,) if named else AVERAGED, strict=strict)

    def validation(self, dataloader: Any, current_iter: Any, tb_logger: Any, save_img: bool = False) -> None:
        """Write D_SR, all ranks together, and log where it is."""
        network = self.get_bare_model(self.net_g) if self.opt['dist'] else self.net_g  # DDP would wait for other ranks
        path = dataloader.dataset.write_super_resolved(network.eval(), self.device)
        get_root_logger().info(f'Super-resolved faces: {path}')
