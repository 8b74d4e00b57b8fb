"""Where to compute when nobody says: on the accelerator that torch finds, as ComfyUI does, else on the CPU."""

import torch


def best_device() -> torch.device:
    """NVIDIA's or AMD's card (torch calls both cuda), Intel's, Apple's, or what else torch has a driver for."""
    for kind, driver in (("cuda", torch.cuda), ("xpu", torch.xpu), ("mps", torch.backends.mps)):
        if driver.is_available():
            return torch.device(kind)
    accelerator = getattr(torch, "accelerator", None)  # since torch 2.6
    if accelerator is not None and accelerator.is_available():
        return torch.device(accelerator.current_accelerator().type)
    return torch.device("cpu")
