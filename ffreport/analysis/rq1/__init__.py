"""RQ1 of Polar-FFA: accuracy, learning curves and convergence beside the published ones."""
