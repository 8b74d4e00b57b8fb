"""Texts for whole folders of pictures, a picture at a time, so that nothing is lost and nothing is done twice."""
