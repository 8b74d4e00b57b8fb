"""How the embedded model was made: drawings, captions, training and its evaluation."""
