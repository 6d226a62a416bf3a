"""The Fréchet distance of generated images, and the network whose features it compares."""
