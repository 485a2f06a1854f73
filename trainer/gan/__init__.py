"""Training StyleGAN2 on procedural rooms: config, discriminator, losses, the step, the loop and the score."""
