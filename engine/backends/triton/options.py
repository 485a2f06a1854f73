"""Switches between forms of the network that a measurement on a GPU decides, and names for sets of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkOptions:
    """Forms of `FusedNetwork`; every set of options computes the same pictures.

    split: divide the inner axis of convolutions that have fewer blocks than the GPU has multiprocessors.
    row_products: mapping, styles and scales by the kernels of styles/row_kernels, instead of torch's matrix products.
    copies: multiply features that types share by each type's style in one launch, instead of on load in the next layer.
    dependent: let small kernels start before the one before has ended (programmatic dependent
    launch, compute capability 9.0 and later): 7 % faster at 256 px and batch 1 on an H100, as fast at batch 32.
    """

    split: bool = True
    row_products: bool = True
    copies: bool = True
    dependent: bool = True


PRESETS = {
    "default": NetworkOptions(),
    "independent": NetworkOptions(dependent=False),
    "undivided": NetworkOptions(split=False),
    "torch products": NetworkOptions(row_products=False),
    "style on load": NetworkOptions(copies=False),
    "first round": NetworkOptions(split=False, row_products=False, copies=False),
}
