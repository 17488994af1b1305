"""RQ2 of Polar-FFA: structure, topology and polarity of latent spaces."""
