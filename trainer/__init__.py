"""Training: offsets, generators and teachers, the rooms they are trained on, and the studies of offsets."""
