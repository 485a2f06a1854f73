"""Workflows, hooks, Makefile, reference pages and links: that they name only what exists."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from test_layout import modules, tomllib

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGES = [ROOT / f"{name}.md" for name in ("CONTRIBUTING", "CHANGELOG", "SECURITY", "RELEASE")]
PAGES += [ROOT / "docs" / "architecture.md", *sorted((ROOT / "docs" / "reference").glob("*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def commands(workflow: Path) -> list[str]:
    """Lines of every `run` of a workflow."""
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [line for job in jobs for step in job["steps"] for line in step.get("run", "").splitlines()]


def make_targets(command: str) -> set[str]:
    """Targets of a make command; empty for another command."""
    words = command.split()
    return {word for word in words[1:] if "=" not in word} if words[:1] == ["make"] else set()


def script(path: str) -> SimpleNamespace:
    """The names of a Python file outside the packages, which imports modules beside it."""
    sys.path.insert(0, str((ROOT / path).parent))
    try:
        return SimpleNamespace(**runpy.run_path(str(ROOT / path)))
    finally:
        sys.path.pop(0)


def test_there_are_workflows_for_tests_wheels_sanitizers_and_docs():
    assert {path.stem for path in WORKFLOWS} >= {"test", "wheels", "sanitizers", "docs"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_targets_of_the_makefile_and_use_no_secrets(workflow):
    text = workflow.read_text()
    assert "secrets." not in text
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    used = set().union(*map(make_targets, commands(workflow)))
    assert used
    assert used <= TARGETS


def test_the_test_workflow_covers_every_supported_python():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert 'requires-python = ">=3.10"' in (ROOT / "pyproject.toml").read_text()


def test_phony_targets_exist():
    [phony] = re.findall(r"^\.PHONY:((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)
    assert set(phony.replace("\\\n", " ").split()) <= TARGETS


def test_the_running_environment_is_made_again_for_every_file_of_the_packages(tmp_path):
    """`make run` installs a copy, so a change of any file must be a reason to install again."""

    def planned(*options: str) -> str:
        command = ["make", "-n", f"RUN={tmp_path}", *options, f"{tmp_path}/.ready"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    (tmp_path / ".ready").touch()
    assert "pip install" not in planned()
    for module in ("cli.run", "engine.generator.checkpoints.tf", "kernels.gpu.conv.kernel", "trainer.studies"):
        assert "pip install" in planned("-W", modules()[module].relative_to(ROOT).as_posix()), module
    assert "pip install" in planned("-W", "engine/bundle/offsets/depth.safetensors")


def test_hooks_are_local_and_their_programs_exist():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        words = hook["entry"].split()
        assert hook["language"] == "system"
        assert make_targets(hook["entry"]) <= TARGETS
        assert all((ROOT / word).exists() for word in words if word.endswith(".py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_relative_links_lead_to_files(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^()\s#]+)(?:#[^()\s]*)?\)", text):
        assert re.match(r"https?:", target) or (page.parent / target).exists(), target


def test_reference_pages_name_modules_and_are_in_the_navigation():
    config = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        assert f"reference/{page.name}" in config
        for name in re.findall(r"^::: sgi\.(\S+)$", page.read_text(), re.MULTILINE):
            assert name in modules(), f"{page.name}: {name}"


def test_every_room_has_a_reference():
    named = {
        name
        for page in (ROOT / "docs" / "reference").glob("*.md")
        for name in re.findall(r"sgi\.[\w.]+", page.read_text())
    }
    packages = {name for name, path in modules().items() if path.name == "__init__.py" and name.count(".") == 1}
    assert {f"sgi.{name}" for name in packages} - named <= {"sgi.engine.bundle"}


def test_links_on_the_site_lead_to_pages_or_become_text():
    hooks = script("docs/mkdocs_hooks.py")
    assert hooks.page_of("engine/native/README.md") == "native.md"
    assert hooks.page_of("docs/fitting.md") == "fitting.md"
    assert hooks.page_of("engine/seeds.py") is None


def test_site_pages_have_sources():
    assert all((ROOT / source).exists() for source in script("docs/mkdocs_hooks.py").PAGES.values())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"fine\n", None),
        (b"\0\1\2", None),
        (b"", None),
        (b"a \n", "space at the end of the line"),
        (b"a\r\n", "space at the end of the line"),
        (b"a\n\n", "must end with one line end"),
        (b"a", "must end with one line end"),
        (b"<<<<<<< ours\na\n", "merge marker"),
        (b"x" * 600_000 + b"\n", "bytes, more than"),
    ],
)
def test_check_files_finds_faults(tmp_path, content, fault):
    file = tmp_path / "file.txt"
    file.write_bytes(content)
    found = script(".ci/check_files.py").faults(file)
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]


def test_check_dist_reports_missing_files(tmp_path):
    assert [line.rpartition(": ")[2] for line in script(".ci/check_dist.py").faults(tmp_path)] == ["missing"] * 3


@pytest.mark.parametrize("required", [None, "1"])
def test_without_a_compiler_the_package_of_the_library_is_left_out(tmp_path, required):
    for name in ("bash", "dirname", "realpath"):
        (tmp_path / name).symlink_to(shutil.which(name))
    environment = {"PATH": str(tmp_path)} | ({"SGI_REQUIRE_NATIVE": required} if required else {})
    script = ROOT / "engine/native/python/install.sh"
    done = subprocess.run(
        [tmp_path / "bash", script, tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    message = "sgi-engine-cpu is not installed, and other runtimes run the models: no C++ compiler\n"
    assert (done.returncode, done.stdout, done.stderr) == (1 if required else 0, "", message)


@pytest.mark.parametrize("required", [None, "1"])
def test_without_a_browser_the_message_says_how_to_install_it(tmp_path, required):
    (tmp_path / "bash").symlink_to(shutil.which("bash"))
    environment = {"PATH": str(tmp_path)} | ({"SGI_REQUIRE_BROWSER": required} if required else {})
    script = ROOT / ".ci/get-browser.sh"
    done = subprocess.run([tmp_path / "bash", script], env=environment, capture_output=True, text=True, check=False)
    message = (
        "The tests of the viewer's page are skipped, because chromium is not installed: "
        "install it so that `chromium` is a command\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (1 if required else 0, "", message)


def test_extras_for_contributors():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(name.startswith("mkdocs-material") for name in extras["docs"])
    assert any(name.startswith("pre-commit") for name in extras["dev"])
