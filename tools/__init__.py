"""Commands that write what follows from the nodes, and the ComfyUI that they and the tests run in."""
