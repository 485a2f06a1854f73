"""Write the maps of seeds as files.

from sgi.engine.run import run_seeds
report = run_seeds("0-999", model="pairs.onnx", outdir="pairs")
"""

from sgi.engine.run.classes import run_classes
from sgi.engine.run.runner import RunInterrupted, RunReport, run_seeds

__all__ = ["RunInterrupted", "RunReport", "run_classes", "run_seeds"]
