"""The service of sgi_serve.cpp in Python: GET /seeds/42?psi=0.7 returns a .npy of float32 [4, R, R], RGB and depth.

Run it with `python service.py MODEL [PORT]`; it needs `pip install "sgi-engine[cpu,service]"`. Requests that arrive
during a pass are computed together in the next pass.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import uvicorn
from fastapi import FastAPI, Query, Response
from fastapi import Path as PathParameter

from sgi.engine import Engine
from sgi.engine.seeds import SEED_MAX

LARGEST_PASS = 16


@dataclass(eq=False)
class Job:
    """A waiting request: seed, truncation, and the future of its values [4, R, R]."""

    seed: int
    psi: float | None
    values: asyncio.Future[np.ndarray]


class Batcher:
    """Collects requests into passes; `images` and `passes` count them."""

    def __init__(self, engine: Engine) -> None:
        self.images = self.passes = 0
        self._engine = engine
        self._waiting: deque[Job] = deque()
        self._arrived = asyncio.Event()

    async def generate(self, seed: int, psi: float | None) -> np.ndarray:
        """Wait for the pass of this seed; returns [4, R, R] float32."""
        job = Job(seed, psi, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._arrived.set()
        return await job.values

    async def work(self) -> None:
        """Run passes until cancelled; the event loop accepts requests during a pass."""
        while True:
            await self._arrived.wait()
            jobs = self._next()
            try:
                maps = await asyncio.to_thread(self._engine, [job.seed for job in jobs], psi=jobs[0].psi)
            except Exception as error:
                for job in jobs:
                    if not job.values.done():  # else the client has disconnected
                        job.values.set_exception(error)
                continue
            for n, job in enumerate(jobs):
                if not job.values.done():
                    job.values.set_result(np.concatenate([maps["image"][n], maps["depth"][n]]))

    def _next(self) -> list[Job]:
        # The oldest request and all others with the same psi, which is the same for a whole pass.
        first = self._waiting[0]
        jobs = [job for job in self._waiting if job.psi == first.psi][:LARGEST_PASS]
        self._waiting = deque(job for job in self._waiting if job not in jobs)
        if not self._waiting:
            self._arrived.clear()
        self.images += len(jobs)
        self.passes += 1
        return jobs


def create_app(model: str | Path) -> FastAPI:
    """Build the service for an exported model with the types image and depth."""
    state: dict[str, Batcher] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # ONNX Runtime accepts any batch size; OpenVINO would compile the model for each.
        with Engine.open(model, backend="onnxruntime", types=("image", "depth"), batch=LARGEST_PASS) as engine:
            state["batcher"] = Batcher(engine)
            worker = asyncio.create_task(state["batcher"].work())
            yield
            worker.cancel()

    app = FastAPI(title="sgi-engine", lifespan=lifespan)

    @app.get("/seeds/{seed}")
    async def seed(
        seed: Annotated[int, PathParameter(ge=0, le=SEED_MAX)],
        psi: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    ) -> Response:
        file = io.BytesIO()
        np.save(file, await state["batcher"].generate(seed, psi))
        return Response(file.getvalue(), media_type="application/x-npy")

    @app.get("/stats")
    async def stats() -> dict[str, int]:
        return {"images": state["batcher"].images, "passes": state["batcher"].passes}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[1]), port=int(sys.argv[2]) if len(sys.argv) > 2 else 8000)
