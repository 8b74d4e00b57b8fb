"""ComfyUI-PEZ: nodes that find short, readable prompts for pictures and long prompts."""

from .nodes import comfy_entrypoint

WEB_DIRECTORY = "web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
