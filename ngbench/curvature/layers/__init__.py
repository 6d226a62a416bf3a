"""The layers that have a Fisher block; importing this registers those of ngbench."""

from ngbench.curvature.blocks.call import Call
from ngbench.curvature.layers.convolution import Conv2dLayer
from ngbench.curvature.layers.layer import Layer
from ngbench.curvature.layers.linear import LinearLayer
from ngbench.curvature.layers.survey import Survey, find_layers, still_is, survey
from ngbench.curvature.layers.transposition import ConvTranspose2dLayer

__all__ = [
    "Call",
    "Conv2dLayer",
    "ConvTranspose2dLayer",
    "Layer",
    "LinearLayer",
    "Survey",
    "find_layers",
    "still_is",
    "survey",
]
