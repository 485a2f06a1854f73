"""The command group: commands are imported when they run, and every user error is one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_models import describe, write_model

import sgi.cli as cli
from sgi.engine.offsets import Offset

MODULES = [name.replace("-", "_").replace("import", "import_") for name in cli.COMMANDS]
HEAVY = ("torch", "onnx", "onnxruntime", "openvino", "numpy", "PIL", "sgi.export", "sgi.trainer")


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def imported(arguments: list[str], names: tuple[str, ...]) -> tuple[str, list[str]]:
    """Output of a command in a new process, and which of the modules it imported."""
    out, _, found = python(
        f"import sys, sgi.cli as cli\nassert cli.main({arguments}) == 0\n"
        f"print('\\nIMPORTED', *[name for name in {names} if name in sys.modules])"
    ).rpartition("IMPORTED")
    return out, found.split()


def test_help_lists_every_command_and_imports_none():
    out, found = imported(["--help"], (*HEAVY, *(f"sgi.cli.{name}" for name in MODULES)))
    for name, line in cli.COMMANDS.items():
        assert name in out
        assert line.split(",")[0][:30] in out
    assert found == []


def test_help_of_a_command_imports_no_runtime_and_no_other_command():
    names = ("torch", "onnx", "onnxruntime", "openvino", "PIL", *(f"sgi.cli.{name}" for name in MODULES))
    out, found = imported(["run", "--help"], names)
    assert "--seeds" in out
    assert found == ["sgi.cli.run"]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_begins_with_the_line_of_the_table(name):
    loaded = cli.load_command(name)
    assert loaded.name == name
    assert loaded.help.splitlines()[0] == cli.COMMANDS[name]


def test_help_continues_with_the_docstring_after_its_first_paragraph():
    text = cli.load_command("ablate").help
    assert text.startswith(cli.COMMANDS["ablate"] + "\n\n")
    assert "Ctrl-C" in text


def test_a_missing_optional_package_is_one_line_with_the_extra_to_install(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("sgi.engine.generator")]:
        monkeypatch.delitem(sys.modules, name)
    code, out, err = command("import", "network.pkl")
    assert (code, out) == (2, "")
    assert err == 'error: torch is not installed: pip install "sgi-engine[export]"\n'


def test_version_and_no_arguments(command):
    code, out, err = command("--version")
    assert (code, err) == (0, "")
    assert out.startswith("sgi-engine 0.")
    code, out, err = command()
    assert (code, err) == (0, "")
    assert "Usage: sgi-engine" in out


@pytest.mark.parametrize("name", ["", *cli.COMMANDS])
def test_h_prints_the_help(command, name):
    code, out, err = command(*([name] if name else []), "-h")
    assert (code, err) == (0, "")
    assert "Usage: sgi-engine" in out


@pytest.mark.parametrize("name", ["export", "train", "score", "eval", "ablate", "invert", "relight", "train-generator"])
def test_network_is_another_name_of_generator(name):
    options = {"train-generator": ["--workdir", "run"], "ablate": ["--what", "rows"], "invert": ["photo.png"]}
    context = cli.load_command(name).make_context(name, ["--network", "network.pkl", *options.get(name, [])])
    assert str(context.params["generator"]) == "network.pkl"


@pytest.mark.parametrize("name", ["run", "interpolate", "export", "train", "score", "eval", "ablate", "serve"])
def test_type_takes_lists_in_every_command_that_has_it(name):
    options = {
        "run": ["--seeds", "0"], "interpolate": ["--seeds", "0,1", "--out", "walk"], "ablate": ["--what", "rows"],
    }  # fmt: skip
    arguments = ["--type", "depth, normal", "--type", "image", *options.get(name, [])]
    assert cli.load_command(name).make_context(name, list(arguments)).params["types"] == ["depth", "normal", "image"]
    assert "types" in {parameter.name for parameter in cli.load_command(name).params}


def test_every_command_with_types_parses_lists():
    from sgi.cli.options import split_types

    for name in cli.COMMANDS:
        for parameter in cli.load_command(name).params:
            if "--type" in parameter.opts:
                assert parameter.callback.__wrapped__ is split_types, name


def test_an_empty_name_in_a_list_of_types_is_refused(command):
    code, _, err = command("run", "--seeds", "0", "--type", "depth,,normal")
    assert code == 2
    assert err == "error: --type depth,,normal: a name is empty; write names such as depth,normal\n"


def test_completion_of_the_shell_lists_commands_and_options():
    words = {"sgi-engine tr": {"train", "train-generator", "train-teacher"}, "sgi-engine train --ty": {"--type"}}
    for text, expected in words.items():
        asked = {"_SGI_ENGINE_COMPLETE": "complete_bash", "COMP_WORDS": text, "COMP_CWORD": str(text.count(" "))}
        found = subprocess.run(
            [sys.executable, "-m", "sgi.cli"], env={**os.environ, **asked}, capture_output=True, text=True
        )
        assert expected <= set(found.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fish"], "No such option: --fish"),
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["run"], "give --seeds, --seeds-file or --latents"),
        (["run", "--seeds", "0", "--seeds-file", "seeds.txt"], "give one of --seeds, --seeds-file or --latents"),
        (["run", "--seeds", "0", "--fish"], "No such option: --fish"),
        (["run", "--seeds", "0", "--batch", "0"], "'--batch'"),
        (["run", "--seeds", "0", "--trunc", "much"], "'--trunc'"),
        (["inspect"], "Missing argument 'FILE'"),
        (["inspect", ""], "an argument is empty"),
        (["run", "--seeds", "0", "--outdir", ""], "--outdir is empty"),
        (["run", "--seeds", "0", "--outdir="], "--outdir is empty"),
        (["inspect", os.devnull], "neither a file nor a folder"),
    ],
)
def test_usage_errors_are_one_line_with_exit_code_2(command, arguments, message):
    code, out, err = command(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_ctrl_c_is_one_line_with_exit_code_130(command, monkeypatch):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("sgi.engine.run.run_classes", interrupted)
    assert command("run", "--seeds", "0") == (130, "", "interrupted\n")


def test_a_full_disk_is_one_line(command, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device", "somewhere/file")

    monkeypatch.setattr("sgi.engine.run.run_classes", full)
    code, _, err = command("run", "--seeds", "0")
    assert code == 2
    assert err.startswith("error: somewhere/file: No space left on device; ")


def test_an_unexpected_exception_keeps_its_traceback(monkeypatch):
    def broken(*_arguments, **_options):
        raise RuntimeError("a bug")

    monkeypatch.setattr("sgi.engine.run.run_classes", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["run", "--seeds", "0"])


def test_a_closed_pipe_prints_nothing():
    script = "import sys, sgi.cli as cli; sys.exit(cli.main(['--help']))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


def test_inspect_an_exported_model(command, tmp_path):
    figures = {"torch": {"depth": {"max": 2e-6, "rms": 1e-7}, "image": {"max": 3e-6}}}
    path = write_model(tmp_path / "tiny.onnx", describe(parity={"seeds": 8, "runtimes": figures}))
    code, out, err = command("inspect", path)
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    for words in ("exported model", "resolution 16", "psi 0.7", "offsets.depth.space w+", "0 near to 1 far"):
        assert words in text
    for words in ("parity.seeds 8", "image 3e-06", "depth 2e-06"):
        assert words in text


def test_inspect_an_offset(command, tmp_path):
    rows = {"offset": {"fvu": 0.25, "rmse": 0.1}, "mean": {"fvu": 1.0, "rmse": 0.3}}
    offset = Offset(
        "depth", "w+", {"offset": np.ones((6, 12), np.float32)}, "c" * 64, score={"rows": rows, "seeds": 256}
    )
    offset.save(tmp_path / "depth.safetensors")
    code, out, err = command("inspect", tmp_path / "depth.safetensors")
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    for words in (": offset,", "parameters 72", "type depth", "space w+", "score.seeds 256", "offset 0.25 0.1"):
        assert words in text


def test_inspect_a_generator_without_torch(tmp_path):
    header = {"config": {"resolution": 64, "z_dim": 256}, "sha256": "d" * 64, "notes": {"licence": "Apache-2.0"}}
    path = tmp_path / "rooms.safetensors"
    save_file({"mapping.fc0.weight": np.zeros((4, 3), np.float16)}, path, {"sgi_generator": json.dumps(header)})
    out = python(
        f"import sys, sgi.cli as cli\nassert cli.main(['inspect', {str(path)!r}]) == 0\nprint('torch' in sys.modules)"
    )
    text = " ".join(out.split())
    for words in (": generator,", "parameters 12", "config.resolution 64", "notes.licence Apache-2.0"):
        assert words in text
    assert text.endswith("False")


def test_inspect_refuses_damaged_and_unknown_files(command, tmp_path):
    cases = {"missing.safetensors": "no such file"}
    save_file({"x": np.zeros(8)}, tmp_path / "foreign.safetensors")
    cases["foreign.safetensors"] = "not a StyleGAN2 checkpoint: a dict of x"
    data = (tmp_path / "foreign.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:-1])
    cases["cut.safetensors"] = "a safetensors file of another length"
    save_file({"x": np.zeros(8)}, tmp_path / "damaged.safetensors", {"sgi_offset": "{"})
    cases["damaged.safetensors"] = "its header is damaged"
    (tmp_path / "model.pkl").write_bytes(b"x")
    cases["model.pkl"] = ""
    (tmp_path / "model.onnx").write_bytes(b"x")
    cases["model.onnx"] = "not an ONNX model"
    (tmp_path / "notes.txt").write_text("x")
    cases["notes.txt"] = "it is a text that begins with 'x'"
    for name, message in cases.items():
        code, out, err = command("inspect", tmp_path / name)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {tmp_path / name}: ")
        assert message in err
        assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["train", "eval", "ablate"])
def test_a_mix_of_classes_is_refused_where_one_class_is_needed(command, name):
    code, _, err = command(name, "--class", "3:0.7,5:0.3")
    assert code == 2
    assert err == (
        "error: --class 3:0.7,5:0.3: fits and scores take one class, such as 3; lists and mixes of classes are for "
        "`sgi-engine run`\n"
    )


def test_warnings_are_one_line_without_the_source_position(command, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # restored after the test
    command("--version")
    assert warnings.formatwarning(UserWarning("going on with 4"), UserWarning, "file.py", 3) == (
        "warning: going on with 4\n"
    )


def test_every_option_of_run_has_a_panel():
    command = cli.load_command("run")
    panels = {parameter.name: getattr(parameter, "rich_help_panel", None) for parameter in command.params}
    others = {name for name, panel in panels.items() if panel is None}
    assert others == {"more_latents", "quiet", "as_json"}
    assert set(panels.values()) == {None, "What to compute", "Model", "Files", "Speed", "Several machines"}
