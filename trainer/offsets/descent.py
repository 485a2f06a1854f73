"""Adam on the coordinates of a fit, with a preconditioner that is computed during the fit.

Before the first preconditioner a fit may keep the coarse rows frozen. They place the objects in the picture, and
changing them before the map has appeared loses that placement. See docs/experiments.md, "Freezing coarse rows".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sgi.trainer.offsets import preconditioner
from sgi.trainer.offsets.parameters import Parameters, Tensors
from sgi.trainer.offsets.preconditioner import Preconditioner

BETAS = (0.9, 0.99)


class Descent:
    """The state of a fit: what Adam optimises, its moments, and the preconditioner.

    parameters: of the space. lr: Adam's learning rate before preconditioning, in the units of `parameters`.
    preconditioned_lr: the rate afterwards. freeze_coarse: whether coarse rows are frozen until `precondition`.
    """

    def __init__(
        self, parameters: Parameters, lr: float, preconditioned_lr: float, freeze_coarse: bool = False
    ) -> None:
        self._parameters = parameters
        self._freeze_coarse = freeze_coarse
        self._lr, self._preconditioned_lr = lr, preconditioned_lr
        self._preconditioner: Preconditioner | None = None
        self._start(parameters.leaves)

    def _start(self, coordinates: Tensors) -> None:
        units = self._parameters.units if self._preconditioner is None else dict.fromkeys(coordinates, 1.0)
        self._coordinates = {key: tensor.detach().clone().requires_grad_() for key, tensor in coordinates.items()}
        groups = [{"params": [tensor], "unit": units[key]} for key, tensor in self._coordinates.items()]
        self._optimiser = torch.optim.Adam(groups, betas=BETAS)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of the offset, differentiable in what Adam optimises."""
        return self._parameters.unfold(self._leaves())

    def _leaves(self) -> Tensors:
        return self._coordinates if self._preconditioner is None else self._preconditioner.leaves(self._coordinates)

    def precondition(self, predict: Callable[[Tensors, Tensor], Tensor], pictures: int, seed: int) -> None:
        """Change to coordinates that are preconditioned at the current offset, and reset Adam; the offset is unchanged.

        predict: (tensors of the offset, indices of pictures) -> predicted codes. pictures, seed: see
        `preconditioner.estimate`.
        """
        unfold = self._parameters.unfold
        leaves = self._leaves()
        self._preconditioner = preconditioner.estimate(
            lambda at, index: predict(unfold(at), index), leaves, pictures, seed
        )
        self._start({key: torch.zeros_like(leaf) for key, leaf in leaves.items()})

    def step(self, loss: Tensor, share: float) -> None:
        """Make one step of Adam on `loss`, at `share` of the full learning rate."""
        lr = self._lr if self._preconditioner is None else self._preconditioned_lr
        for group in self._optimiser.param_groups:
            group["lr"] = lr * group["unit"] * share
        self._optimiser.zero_grad()
        loss.backward()
        if self._freeze_coarse and self._preconditioner is None:
            self._clear_coarse_gradients()
        self._optimiser.step()

    def _clear_coarse_gradients(self) -> None:
        # Adam does not change entries whose gradients have all been zero.
        for key, count in self._parameters.coarse.items():
            gradient = self._coordinates[key].grad
            assert gradient is not None
            gradient.view(-1, gradient.shape[-1])[:count] = 0

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `step` and `precondition` change, on the CPU."""
        found = self._preconditioner
        return {
            "leaves": _on_cpu(self._coordinates),
            "optimiser": self._optimiser.state_dict(),
            _PRECONDITIONER: found and {"base": _on_cpu(found.base), "roots": _on_cpu(found.roots)},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a descent of the same parameters; raises KeyError or ValueError for other parameters."""
        example = next(iter(self._coordinates.values()))
        found = state[_PRECONDITIONER]
        if found is not None:
            base, roots = ({key: part.to(example) for key, part in found[name].items()} for name in ("base", "roots"))
            self._preconditioner = Preconditioner(base, roots)
        self._start({key: state["leaves"][key].to(tensor) for key, tensor in self._coordinates.items()})
        self._optimiser.load_state_dict(state["optimiser"])


_PRECONDITIONER = "chart"  # as in checkpoints of earlier versions, which can thus be resumed


def _on_cpu(tensors: Tensors) -> dict[str, Tensor]:
    return {key: tensor.detach().cpu() for key, tensor in tensors.items()}
