"""A generator with offsets as an open backend, without an export by hand.

On a GPU the Triton kernels run the generator. Elsewhere it is exported once into a cache of models, and a backend of
exported models runs it. Torch is imported for the kernels and for an export, not for a model that the cache has.
"""

from sgi.engine.generator_model.choice import (
    BUNDLED,
    TRITON,
    check_model_or_generator,
    missing_export_package,
    missing_package,
    triton_device,
)
from sgi.engine.generator_model.model_cache import ModelCache
from sgi.engine.generator_model.sources import ExportedModel, ModelSource, generator_source

__all__ = [
    "BUNDLED",
    "TRITON",
    "ExportedModel",
    "ModelCache",
    "ModelSource",
    "check_model_or_generator",
    "generator_source",
    "missing_export_package",
    "missing_package",
    "triton_device",
]
