"""The pack, imported in this process as ComfyUI imports it, without a server."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from tools.server import REPOSITORY, comfyui_path

NAME = "comfyui_pez"


def import_pack(checkout: Path | None = None, arguments: Sequence[str] = ("--cpu",)) -> ModuleType:
    """The pack's package; what is in it is imported by names that begin with `NAME`.

    ComfyUI is that of `checkout`, or the one that tests take, and starts with `arguments`. It reads the command line as
    it is imported, so parse yours before. Exits where no ComfyUI is found.
    """
    comfyui = checkout or comfyui_path()
    if comfyui is None:
        sys.exit("no ComfyUI is found; set COMFYUI_PATH to a checkout, or put it at ~/ComfyUI.")
    sys.argv[1:] = arguments
    sys.path.insert(0, str(comfyui))
    importlib.import_module("comfy.options").enable_args_parsing()
    importlib.import_module("utils.extra_config")  # before ComfyUI's folder "comfy" brings another module "utils"
    spec = importlib.util.spec_from_file_location(
        NAME, REPOSITORY / "__init__.py", submodule_search_locations=[str(REPOSITORY)]
    )
    assert spec and spec.loader
    pack = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = pack
    spec.loader.exec_module(pack)
    return pack
