"""ComfyUI-PEZ: nodes that find short, readable prompts for pictures and long prompts."""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
