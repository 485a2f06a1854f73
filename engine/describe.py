"""The description of a model that is made from a generator and offsets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from sgi.engine import intrinsics
from sgi.engine.artifact import Artifact
from sgi.engine.offset_tensors import StyledConfig
from sgi.engine.version import __version__

if TYPE_CHECKING:
    from sgi.engine.offsets import Offset


class GeneratorSizes(StyledConfig, Protocol):
    """The sizes of a generator that its description contains; `GeneratorConfig` has them."""

    @property
    def resolution(self) -> int: ...
    @property
    def z_dim(self) -> int: ...
    @property
    def c_dim(self) -> int: ...
    @property
    def img_channels(self) -> int: ...


def describe_generator(
    config: GeneratorSizes,
    sha256: str,
    offsets: Mapping[str, Offset | None],
    *,
    psi: float = 1.0,
    cutoff: int | None = None,
    noise_mode: str = "const",
    precision: str = "fp32",
    opset: int = 0,
    input: str = "z",
) -> Artifact:
    """The description of a generator with offsets baked in.

    config, sha256: sizes and hash of the generator. offsets: type -> offset, None for the plain image; the outputs
    have this order. The other arguments are fields of `Artifact`.

    Raises UserError for an offset of another generator, a type that pictures of its channels cannot show, and values
    that no model can have.
    """
    types = []
    for offset in offsets.values():
        if offset is not None:
            offset.check_generator(sha256, config)
        types.append(intrinsics.image_of(config.img_channels) if offset is None else offset.intrinsic)
        intrinsics.check_channels(types[-1], config.img_channels)
    return Artifact(
        sgi_version=__version__,
        resolution=config.resolution,
        z_dim=config.z_dim,
        c_dim=config.c_dim,
        psi=psi,
        cutoff=cutoff,
        noise_mode=noise_mode,
        precision=precision,
        opset=opset,
        types=tuple(types),
        generator={"sha256": sha256},
        offsets={name: offset.summary for name, offset in offsets.items() if offset is not None},
        input=input,
        w_dim=None if input == "z" else config.w_dim,
    )
