"""The latent explorer, one interactive page of all networks."""
