"""Training of the U-Net teacher on rendered rooms."""
