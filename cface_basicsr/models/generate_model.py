"""Stage 2: N_SR super-resolves a whole store of LR faces into D_SR; run by `basicsr/test.py`."""

from typing import Any

from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.registry import MODEL_REGISTRY


@MODEL_REGISTRY.register()
class GenerateModel(SRModel):
    """Hands its generator to the data set (CFaceGenerateDataset), which writes the store; it measures nothing."""

    def nondist_validation(self, dataloader: Any, current_iter: Any, tb_logger: Any, save_img: bool) -> None:
        """Write D_SR and log where it is."""
        path = dataloader.dataset.write_super_resolved(self.net_g.eval(), self.device)
        get_root_logger().info(f'Super-resolved faces: {path}')
