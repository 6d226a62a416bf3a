"""The mathematics of curvature matrices: depends on torch alone and knows nothing of benchmarks."""
