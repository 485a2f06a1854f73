"""Write the maps of seeds or latents as files, and check folders of them.

from sgi.engine.run import run_seeds, verify_folder
report = run_seeds("0-999", model="pairs.onnx", outdir="pairs")
assert verify_folder("pairs").is_complete
run_seeds(latents="projected_w.npz", model="pairs.onnx", outdir="projected")
"""

from sgi.engine.run.classes import run_classes
from sgi.engine.run.folder_report import FolderReport
from sgi.engine.run.runner import RunInterrupted, RunReport, run_seeds
from sgi.engine.run.verify import verify_folder

__all__ = ["FolderReport", "RunInterrupted", "RunReport", "run_classes", "run_seeds", "verify_folder"]
