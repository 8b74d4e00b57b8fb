"""Search guided by language: texts put together from what a prior knows and what the tower's gradient asks for."""
