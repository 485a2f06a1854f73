"""The command line and the Python lines that make the maps of a screen again."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec

from sgi.engine import bundle
from sgi.engine.errors import UserError
from sgi.engine.generator_model import BUNDLED
from sgi.engine.labels import parse_class
from sgi.engine.live import LiveModel, Row, Screen
from sgi.engine.offsets import Offset
from sgi.engine.view.latents import LoadedLatents
from sgi.engine.view.opening import Source

SAVED = "saved_ws.safetensors"
"""Name of the file of latents in commands for a screen that no seed gives."""
_MOST_FRAMES = 1000


class Light(msgspec.Struct, frozen=True):
    """A distant white light. azimuth, elevation: degrees; 0, 0 shines from the viewer. strength, ambient: linear."""

    azimuth: float = 0.0
    elevation: float = 0.0
    strength: float = 1.0
    ambient: float = 0.0


class Commands:
    """Commands for the screens of an open model.

    loaded: {id: latents} that were loaded.
    """

    def __init__(self, live: LiveModel, source: Source, loaded: Mapping[str, LoadedLatents]) -> None:
        self._live = live
        self._source = source
        self._loaded = loaded

    def of(self, screen: Screen, light: Light | None = None) -> dict[str, str]:
        """{shell, python, note}: the commands, and what to know of the first; raises UserError as `plan` does."""
        self._live.plan(screen)
        shell, note = self.shell(screen)
        return {"shell": shell, "python": self.python(screen, light), "note": note}

    def shell(self, screen: Screen) -> tuple[str, str]:
        """Lines of the shell, and a note: which frame or file of their result is the screen."""
        if screen.towards is not None and screen.mix is None and screen.latents is None and not self._alphas(screen):
            share = Fraction(screen.towards.share).limit_denominator(_MOST_FRAMES)
            words = ["interpolate", "--seeds", f"{screen.seed},{screen.towards.seed}"]
            words += ["--frames", str(share.denominator + 1), *self._sampling(screen), *self._model(screen, None)]
            words += ["--out", f"seeds{screen.seed}-{screen.towards.seed}"]
            return _command(words), f"frame {share.numerator} of the folder is what is shown"
        words, name, note = self._latents(screen)
        groups: dict[float | None, list[str]] = {}
        alphas = self._alphas(screen)
        for kind in self._live.artifact.choose_types(screen.types):
            groups.setdefault(alphas.get(kind), []).append(kind)
        precision = [] if self._source.precision is None else ["--precision", self._source.precision]
        lines = []
        for alpha, types in groups.items():
            folder = name if alpha is None else f"{name}_alpha{alpha:g}"
            model = self._model(screen, alpha, types)
            lines.append(_command(["run", *words, *model, *precision, "--outdir", folder]))
        return " &&\n".join(lines), note

    def python(self, screen: Screen, light: Light | None = None) -> str:
        """Lines of Python that end with `maps`, and with `relit` where there is a light, albedo and normals."""
        alphas = self._alphas(screen)
        types = list(self._live.artifact.choose_types(screen.types))
        plain = [name for name in types if name not in alphas]
        is_z = self._live.engine.artifact.input == "z"
        needs_rows = bool(screen.mix or screen.towards or alphas)
        imports = ["from sgi.engine import Engine"]
        takes = "" if not needs_rows and screen.latents is None else self._takes()
        lines = [f"engine = {self._engine(takes)}"]
        given, options = f"seeds={screen.seed}", self._options(screen)
        if screen.latents is not None:
            found = self._file(screen.latents)
            imports.append("from sgi.engine.latents_file import read_latents, sizes_of")
            described = "engine.artifact"
            if found.latents.kind == "z":  # an engine that was opened for w+ describes no z
                imports.append("from sgi.engine.artifact import Artifact")
                described = "Artifact.read(engine.backend.path)"
            lines.append(f"sizes = sizes_of(engine.backend.path, {described})")
            lines.append(f"latents = read_latents({_text(found.files)}, sizes, {_text(found.latents.kind)}).rows")
            kind = found.latents.kind
            value = f"latents[[{screen.latents.row}]]"
            given = f"{'ws' if kind == 'w+' else kind}={value}"
            options = options if kind == "z" else ""
        if needs_rows and not is_z:
            lines += self._rows(screen, given, options)
            given, options = "ws=ws", ""
        chosen = "" if plain == list(self._live.artifact.type_names) else f", types={_text(plain)}"
        lines.append(f"maps = engine({given}{options}{chosen})" if plain else "maps = {}")
        if alphas:
            imports.append("from sgi.engine.offsets import Offset")
        for name, alpha in alphas.items():
            lines.append(f"offset = Offset.load({self._offset(name)}).rows({self._live.artifact.num_ws})")
            lines.append(f"maps |= engine(ws=ws + ({alpha!r} - 1) * offset, types={_text(name)})")
        if any("bundle." in line for line in lines):
            imports[0] = "from sgi.engine import Engine, bundle"
        if light is not None:
            relit = _relit(self._live, types, light)
            lines += relit
            if relit:
                imports.insert(0, "import numpy as np")
        return "\n".join([*imports, "", *lines, ""])

    def _rows(self, screen: Screen, given: str, options: str) -> list[str]:
        """Lines that make `ws`."""
        kind, _, value = given.partition("=")
        if kind in ("seeds", "z"):
            lines = [f"ws = engine.mapping({given}{options})"]
        elif kind == "w":
            lines = [f"ws = {value}[:, None].repeat({self._live.artifact.num_ws}, axis=1)"]
        else:
            lines = [f"ws = {value}"]
        mapped = self._options(screen)
        if screen.towards is not None:
            lines.append(f"end = engine.mapping(seeds={screen.towards.seed}{mapped})")
            lines.append(f"ws = ws + {screen.towards.share!r} * (end - ws)")
        if screen.mix is not None:
            rows = self._live.rows(screen.mix.rows)
            lines.append(f"rows = {rows!r}")
            lines.append(f"ws[:, rows] = engine.mapping(seeds={screen.mix.seed}{mapped})[:, rows]")
        return lines

    def _latents(self, screen: Screen) -> tuple[list[str], str, str]:
        """Options of `run` for the latents, the name of a folder, and a note."""
        found = None if screen.latents is None else self._file(screen.latents)
        if screen.towards is not None or (screen.mix is not None and found is not None):
            return ["--latents", SAVED], "saved", f"save the latents as {SAVED} first"
        if found is not None and screen.latents is not None:
            words = ["--latents", *found.files, "--latents-kind", found.latents.kind]
            note = f"latent {screen.latents.row} is what is shown" if len(found.latents.rows) > 1 else ""
            return [*words, *(self._sampling(screen) if found.latents.kind == "z" else [])], "latents", note
        words, name = ["--seeds", str(screen.seed)], f"seed{screen.seed}"
        if screen.psi not in (None, self._live.artifact.psi):
            name += f"_psi{screen.psi:g}"
        if screen.class_index is not None:
            name += f"_class{re.sub(r'[^0-9.-]+', '-', screen.class_index)}"
        if screen.mix is not None:
            words += ["--mix-seeds", str(screen.mix.seed), "--mix-rows", screen.mix.rows]
            name += f"_mix{screen.mix.seed}"
        return [*words, *self._sampling(screen)], name, ""

    def _file(self, row: Row) -> LoadedLatents:
        found = self._loaded.get(row.id)
        if found is None:
            raise UserError(f"`latents={row.id[:60]}`: not loaded; load the file again")
        return found

    def _sampling(self, screen: Screen) -> list[str]:
        label = self._class(screen)
        psi = self._live.artifact.psi if screen.psi is None else screen.psi
        return ["--trunc", f"{psi!r}", *(["--class", label] if label else [])]

    def _model(self, screen: Screen, alpha: float | None, types: Sequence[str] = ()) -> list[str]:
        """Options for the model. alpha: factor of the offsets of these types, None for that of the model."""
        source = self._source
        generator = source.generator
        words = []
        if alpha is not None and generator is None:
            generator = BUNDLED  # the bundled model is the only one without a generator whose factors can be changed
        if generator is not None:
            words += ["--generator", generator]
            shown = types or self._live.artifact.choose_types(screen.types)
            words += [word for path in source.offsets if Offset.load(path).type in shown for word in ("--offset", path)]
            if not source.cache:
                words.append("--no-cache")
        elif source.model is not None:
            words += ["--model", source.model]
        names = self._live.artifact.type_names
        if generator is not None or (types and tuple(types) != names) or screen.types is not None:
            words += ["--type", ",".join(types or self._live.artifact.choose_types(screen.types))]
        if alpha is not None:
            words += ["--alpha", f"{alpha!r}"]
        for name in ("backend", "device"):
            if getattr(source, name) != "auto":
                words += [f"--{name}", getattr(source, name)]
        return words

    def _alphas(self, screen: Screen) -> dict[str, float]:
        """Factors that are not those of the model, of the types that are shown."""
        names = self._live.artifact.choose_types(screen.types)
        return {n: a for n, a in screen.alpha.items() if n in names and a != self._live.alphas[n].default}

    def _class(self, screen: Screen) -> str:
        """The class of a screen; class 0 of a conditional model where none is chosen."""
        return screen.class_index or ("0" if self._live.artifact.c_dim else "")

    def _options(self, screen: Screen) -> str:
        """Keyword arguments for seeds and z."""
        psi = self._live.artifact.psi if screen.psi is None else screen.psi
        label = self._class(screen)
        return f", psi={psi!r}" + (f", class_index={parse_class(label)!r}" if label else "")

    def _takes(self) -> str:
        takes = self._live.engine.artifact.input
        return "" if takes == self._live.artifact.input else takes

    def _engine(self, takes: str) -> str:
        """The expression that opens the engine."""
        source = self._source
        options = {name: getattr(source, name) for name in ("backend", "device") if getattr(source, name) != "auto"}
        if source.precision is not None:
            options["precision"] = source.precision
        if takes:
            options["input"] = takes
        words = [f"{name}={_text(value)}" for name, value in options.items()]
        if source.generator is None:
            return f"Engine.open({', '.join(([] if source.model is None else [_text(source.model)]) + words)})"
        types = [f"types={_text(self._live.artifact.type_names)}"]
        offsets = [f"offsets={_text(source.offsets)}"] if source.offsets else []
        return f"Engine.from_generator({', '.join([_text(source.generator), *offsets, *types, *words])})"

    def _offset(self, name: str) -> str:
        """The expression for the file of the offset of a type."""
        for path in self._source.offsets:
            if Offset.load(path).type == name:
                return _text(path)
        assert bundle.offset(name).exists()
        return f"bundle.offset({_text(name)})"


def _text(value: str | Sequence[str]) -> str:
    """A text or a list of texts as Python with double quotes."""
    return json.dumps(value, ensure_ascii=False)


def _command(words: Sequence[str]) -> str:
    return shlex.join(["sgi-engine", *words])


def _relit(live: LiveModel, types: Sequence[str], light: Light) -> list[str]:
    """Lines that relight albedo by normals; none without both."""
    units = [kind.name for kind in live.types if kind.decoding == "unit" and kind.name in types]
    if "albedo" not in types or not units:
        return []
    return [
        f"azimuth, elevation = np.radians([{light.azimuth!r}, {light.elevation!r}])",
        "across = np.cos(elevation)",
        "light = np.array([np.sin(azimuth) * across, np.sin(elevation), np.cos(azimuth) * across])",
        f'facing = np.einsum("nchw,c->nhw", maps[{_text(units[0])}], light)[:, None]',
        f'relit = maps["albedo"] * ({light.ambient!r} + {light.strength!r} * np.maximum(0, facing))  # linear light',
    ]


def parse_request(values: object) -> tuple[Screen, Light | None]:
    """Screen and light of the body of a request; raises UserError, which names the field, for a wrong one."""
    if not isinstance(values, dict) or not set(values) <= {"screen", "light"}:
        raise UserError('`screen`: send {"screen": ..., "light": ...}')
    try:
        light = msgspec.convert(values.get("light"), Light | None)
    except msgspec.ValidationError as error:
        raise UserError(f"`light`: {error}") from None
    return Screen.from_values(values.get("screen")), light
