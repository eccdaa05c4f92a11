"""The files of the devcontainer pass the validators of their formats, and name what is there: without Docker.

Every validator is also given a broken copy. The schema of devcontainer.json comes in no package; where
ECGKERN_DEVCONTAINER_SCHEMA names it (a path or an address), it is one of the validators: docs/fortran.md says where.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".devcontainer"
VARIANTS = ("cpu", "gpu")
SCHEMA = os.environ.get("ECGKERN_DEVCONTAINER_SCHEMA")
CLI = "@devcontainers/cli@0.89.0"

# What the schema of containers.dev has at the top level, as far as it is used here. What an editor is told stands under
# customizations.
PROPERTIES = {"name", "dockerComposeFile", "service", "workspaceFolder", "remoteUser", "hostRequirements"}
PROPERTIES |= {"postCreateCommand", "customizations"}

# What Modern Fortran declares in its package.json (github.com/fortran-lang/vscode-fortran-support, 3.4 and 4.0). Plain
# VS Code knows no Fortran, and an id that nobody declares leaves a file without colours, and says nothing.
MODERN_FORTRAN = "fortran-lang.linter-gfortran"
SUFFIXES = {
    "FortranFreeForm": {".f90", ".f95", ".f03", ".f08", ".f18", ".fpp", ".pf", ".fypp"},
    "FortranFixedForm": {".f", ".f77", ".for"},
}
SETTINGS = {
    "fortran.fortls.path",
    "fortran.linter.compiler",
    "fortran.linter.extraArgs",
    "fortran.linter.includePaths",
    "fortran.linter.initialize",
}
LINTERS = {"gfortran", "ifort", "ifx", "nagfor", "lfortran", "Disabled"}

# How devcontainer.json was written until 2022, in the files that this folder descends from: without effect today.
OF_OLD = {
    "name": "NVIDIA Fortran Dev",
    "dockerComposeFile": "docker-compose.yml",
    "service": "nvfortran-dev",
    "workspaceFolder": "/workspace",
    "settings": {"files.associations": {"*.f90": "fortran"}},
    "extensions": ["fortran-lang.fortran"],
    "remoteUser": "root",
}


def tool(name):
    """Find a tool beside this Python or on the path."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def config(variant):
    return json.loads((FOLDER / variant / "devcontainer.json").read_text())


@pytest.fixture(scope="module")
def services():
    """The service of each variant, merged as compose does: maps are joined, the later file wins."""
    yaml = pytest.importorskip("ruamel.yaml").YAML(typ="safe")
    base = yaml.load(FOLDER / "docker-compose.yml")["services"]["dev"]
    over = yaml.load(FOLDER / "docker-compose.gpu.yml")["services"]["dev"]
    return {"cpu": base, "gpu": {**base, **over, "environment": base["environment"] | over["environment"]}}


def filled(text):
    """Put in the defaults of compose's variables, ${NAME:-default}."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


# ---- the validators --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cli():
    """The specification's own program, installed into build/; the Docker that it wants to see is any program."""
    home = ROOT / "build" / "devcontainers-cli"
    program = home / "node_modules" / ".bin" / "devcontainer"
    if not program.exists():
        home.mkdir(parents=True, exist_ok=True)
        # A folder without a package.json is taken for a part of what lies above it.
        (home / "package.json").write_text('{"private": true}')
        found = run(tool("npm"), "install", "--no-audit", "--no-fund", "--silent", CLI, cwd=home)
        if found.returncode:
            pytest.skip(f"npm could not install {CLI}: {found.stderr.strip()}")

    def read(folder, variant):
        """Return what the program makes of a devcontainer.json, None if it cannot read it."""
        file = folder / ".devcontainer" / variant / "devcontainer.json"
        docker = [f"--docker-{part}={tool('true')}" for part in ("path", "compose-path")]
        found = run(program, "read-configuration", f"--workspace-folder={folder}", f"--config={file}", *docker)
        if found.returncode:
            return None
        read = json.loads(found.stdout)["configuration"]
        assert Path(read.pop("configFilePath")["fsPath"]) == file
        return read

    return read


@pytest.mark.parametrize("variant", VARIANTS)
def test_devcontainers_cli_reads_the_file_as_it_stands(cli, variant):
    assert cli(ROOT, variant) == config(variant)


def test_devcontainers_cli_rewrites_the_old_form_and_refuses_what_is_no_json(cli, tmp_path):
    file = tmp_path / ".devcontainer" / "cpu" / "devcontainer.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(OF_OLD))
    assert set(OF_OLD) - set(cli(tmp_path, "cpu")) == {"settings", "extensions"}
    file.write_text((FOLDER / "cpu" / "devcontainer.json").read_text().removeprefix("{"))
    assert cli(tmp_path, "cpu") is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_stands_at_the_top_level_that_the_schema_does_not_have(variant):
    assert set(config(variant)) <= PROPERTIES
    assert set(OF_OLD) - PROPERTIES == {"settings", "extensions"}


if SCHEMA:

    def test_the_schema_accepts_the_files_and_refuses_the_old_form(tmp_path):
        check = [tool("check-jsonschema"), "--schemafile", SCHEMA]
        found = run(*check, *(FOLDER / variant / "devcontainer.json" for variant in VARIANTS))
        assert found.returncode == 0, found.stdout + found.stderr
        (tmp_path / "devcontainer.json").write_text(json.dumps(OF_OLD))
        found = run(*check, tmp_path / "devcontainer.json")
        assert found.returncode == 1
        assert "'extensions', 'settings' were unexpected" in found.stdout


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.gpu.yml"])
def test_compose_files(tmp_path, name):
    check = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    found = run(*check, FOLDER / name)
    assert found.returncode == 0, found.stdout
    broken = (FOLDER / name).read_text().replace("environment:", "environmemt:")
    (tmp_path / name).write_text(broken)
    found = run(*check, tmp_path / name)
    assert found.returncode == 1
    assert "environmemt" in found.stdout


def test_dockerfile(tmp_path):
    check = [tool("hadolint"), "--no-color"]
    found = run(*check, FOLDER / "Dockerfile")
    assert found.returncode == 0, found.stdout
    broken = (FOLDER / "Dockerfile").read_text().replace(" --no-install-recommends", "")
    (tmp_path / "Dockerfile").write_text(broken)
    found = run(*check, tmp_path / "Dockerfile")
    assert found.returncode == 1
    assert "DL3015" in found.stdout


# ---- what the files name ---------------------------------------------------------------------------------------------


def test_the_variants_differ_in_the_gpu_alone(services):
    cpu, gpu = config("cpu"), config("gpu")
    assert cpu.pop("dockerComposeFile") == ["../docker-compose.yml"]
    assert gpu.pop("dockerComposeFile") == ["../docker-compose.yml", "../docker-compose.gpu.yml"]
    assert cpu.pop("name") != gpu.pop("name")
    assert cpu == gpu
    # With this VS Code would ask for the cards a second time.
    assert "gpu" not in gpu["hostRequirements"]
    # A container that asks for a card does not start where there is none.
    assert "deploy" not in services["cpu"]
    assert "runtime" not in services["cpu"] | services["gpu"]
    (device,) = services["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_folders_users_and_the_image_are_the_same_everywhere(services, variant):
    service, dockerfile = services[variant], (FOLDER / "Dockerfile").read_text()
    folder, user = config(variant)["workspaceFolder"], config(variant)["remoteUser"]
    assert service["volumes"] == [f"..:{folder}:cached"]
    assert service["working_dir"] == folder
    assert f"--create-home --shell /bin/bash {user}" in dockerfile
    default = filled(service["build"]["args"]["NVHPC_TAG"])
    assert f"\nARG NVHPC_TAG={default}\n" in dockerfile
    assert (FOLDER / service["build"]["context"] / "Dockerfile").exists()


@pytest.mark.parametrize("variant", VARIANTS)
def test_nvfortran_builds_the_library_on_create_outside_the_source_folder(services, variant):
    environment = {name: filled(value) for name, value in services[variant]["environment"].items()}
    assert environment["FC"] == "nvfortran"
    home = f"/home/{config(variant)['remoteUser']}/"
    assert environment["VENV"].startswith(home)
    assert environment["SKBUILD_BUILD_DIR"].startswith(home)
    command = config(variant)["postCreateCommand"].split()
    assert command[0] == "make"
    found = run(tool("make"), "--dry-run", "-C", ROOT, *command[1:], env={**os.environ, **environment})
    assert found.returncode == 0, found.stderr
    extras = {"cpu": "dev", "gpu": "dev,cuda12"}[variant]
    assert f"tools/setup.sh {environment['VENV']} {extras}\n" in found.stdout
    assert config(variant)["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"] == (
        f"{environment['VENV']}/bin/python"
    )


def test_cupy_is_that_for_the_cuda_of_the_image(services):
    tag = filled(services["gpu"]["build"]["args"]["NVHPC_TAG"])
    major = re.search(r"cuda(\d+)", tag)[1]
    assert filled(services["gpu"]["environment"]["ECGKERN_EXTRAS"]) == f"dev,cuda{major}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_fortran_is_coloured_and_linted(variant):
    vscode = config(variant)["customizations"]["vscode"]
    settings = vscode["settings"]
    assert MODERN_FORTRAN in vscode["extensions"]
    assert all(re.fullmatch(r"[\w-]+\.[\w-]+", name) for name in vscode["extensions"])
    assert {name for name in settings if name.startswith("fortran.")} <= SETTINGS
    assert settings["fortran.linter.compiler"] in LINTERS
    for path in settings["fortran.linter.includePaths"]:
        assert Path(path.replace("${workspaceFolder}", str(ROOT))).is_dir()
    # An association that the extension does not know takes its colours away from a file.
    associations = settings["files.associations"]
    assert set(associations.values()) == set(SUFFIXES)
    for pattern, language in associations.items():
        for other in set(SUFFIXES) - {language}:
            assert pattern.removeprefix("*").lower() not in SUFFIXES[other]
    known = set().union(*SUFFIXES.values()) | {pattern.removeprefix("*") for pattern in associations}
    sources = [file for file in (ROOT / "fortran").rglob("*") if file.suffix in (".f90", ".f", ".inc", ".for")]
    assert {file.suffix for file in sources} <= known
    assert len(sources) > 20
