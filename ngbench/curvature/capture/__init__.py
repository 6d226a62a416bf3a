"""What layers see in the forward and backward passes that a curvature is estimated on."""

from ngbench.curvature.capture.capture import Capture
from ngbench.curvature.capture.passes import FisherKind

__all__ = ["Capture", "FisherKind"]
