"""Makers of datasets in miniature, each in the true format of its benchmark."""
