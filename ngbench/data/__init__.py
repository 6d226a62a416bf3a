"""The data sets: where they live, how they are read, downloaded, generated, and what stands in for them."""
