"""Training of StyleGAN2 on procedural rooms."""
