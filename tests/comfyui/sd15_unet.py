"""Print the names and shapes of SD1.5's diffusion model as JSON; run with a ComfyUI checkout on PYTHONPATH."""

import json
import sys

from comfy.cli_args import args

args.cpu = True

import comfy.ops  # noqa: E402
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel  # noqa: E402

CONFIG = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "context_dim": 768,
    "num_heads": 8,
    "use_spatial_transformer": True,
    "legacy": False,
}
model = UNetModel(**CONFIG, device="meta", operations=comfy.ops.disable_weight_init)
json.dump({name: list(value.shape) for name, value in model.state_dict().items()}, sys.stdout)
