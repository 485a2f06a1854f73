"""What a viewer shows: one image by its latent, and how its maps are computed. JSON in the requests of the page."""

from __future__ import annotations

from typing import Any

import msgspec

from sgi.engine.arguments import check_factor, check_psi
from sgi.engine.errors import UserError
from sgi.engine.seeds import SEED_MAX


class Mix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Style mixing: the rows of w+ that are those of another seed. rows: such as `6-9`."""

    seed: int
    rows: str


class Towards(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Interpolation: w+ moves to that of another seed on a straight line. share: 0 is the start, 1 the other seed."""

    seed: int
    share: float


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One latent of a file that was loaded. id: of the file. row: number of the latent in it, from 0."""

    id: str
    row: int = 0


class Screen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image and the settings of its maps.

    seed: the latent z. psi: truncation, None for the model's default. class_index (`class` in JSON): class or weights
    of classes, such as `3` or `3:0.7,5:0.3`. mix, towards: changes of w+, towards first. latents: instead of a seed.
    alpha: {type: factor of its offset}, defaults for types that are left out. types: those to compute, None for all.
    """

    seed: int = 0
    psi: float | None = None
    class_index: str | None = msgspec.field(default=None, name="class")
    mix: Mix | None = None
    towards: Towards | None = None
    latents: Row | None = None
    alpha: dict[str, float] = {}
    types: tuple[str, ...] | None = None

    def check(self) -> None:
        """Raise UserError for numbers out of range; what depends on the model is not checked."""
        check_seed("seed", self.seed)
        if self.psi is not None:
            check_psi(self.psi)
        if self.mix is not None:
            check_seed("mix_seed", self.mix.seed)
        if self.towards is not None:
            check_seed("towards_seed", self.towards.seed)
            if not 0 <= self.towards.share <= 1:
                raise UserError(f"`towards_share={self.towards.share:g}`: must be a number from 0 to 1")
        for value in self.alpha.values():
            check_factor("alpha", value)

    def words(self, psi: float) -> str:
        """The image and the settings that are not the defaults, for people. psi: the default of the model."""
        found = [f"seed {self.seed}" if self.latents is None else f"latent {self.latents.row}"]
        if self.psi not in (None, psi):
            found.append(f"psi {self.psi:g}")
        if self.class_index is not None:
            found.append(f"class {self.class_index}")
        if self.towards is not None:
            found.append(f"{self.towards.share:g} of the way to seed {self.towards.seed}")
        if self.mix is not None:
            found.append(f"rows {self.mix.rows} of seed {self.mix.seed}")
        return ", ".join([*found, *(f"alpha {value:g} of {name}" for name, value in self.alpha.items())])

    @classmethod
    def from_json(cls, text: bytes | str) -> Screen:
        """The screen of JSON text; raises UserError, which names the field, for a wrong one."""
        try:
            screen = msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UserError(f"`screen`: {error}") from None
        screen.check()
        return screen

    @classmethod
    def from_values(cls, values: Any) -> Screen:
        """The screen of parsed JSON; raises UserError as `from_json` does."""
        try:
            screen = msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise UserError(f"`screen`: {error}") from None
        screen.check()
        return screen


def check_seed(name: str, seed: int) -> None:
    """Raise UserError, naming the parameter, for a seed out of range."""
    if not 0 <= seed <= SEED_MAX:
        raise UserError(f"`{name}={seed}`: a seed is an integer from 0 to {SEED_MAX}")
