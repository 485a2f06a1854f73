"""Runs on a Ray cluster: workers with one engine each make the shards, and this process keeps the records.

from sgi.engine.cluster import RayCluster
from sgi.engine.run import run_seeds
with RayCluster("auto") as cluster:
    run_seeds("0-99999", file_format="webdataset", outdir="/shared/pairs", cluster=cluster)
"""

from sgi.engine.cluster.ray_cluster import RayCluster

__all__ = ["RayCluster"]
