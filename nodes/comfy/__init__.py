"""Between ComfyUI's objects and pez_core: what the nodes are made of."""
