"""What the search for pictures and the search for language models both stand on.

Nothing here knows of CLIP or of language models: a judge says how good ids are, and where the gradient points.
"""
