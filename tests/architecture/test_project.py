"""The project's own rules: who may import whom, the lock is current, nothing names a package index."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[2]


def test_the_import_contracts_hold() -> None:
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml")) == 0


def test_the_lock_of_images_and_audits_is_current() -> None:
    uv = shutil.which("uv")
    assert uv, "uv is needed to run the tests"
    assert (ROOT / "uv.lock").is_file(), "the first uv command makes it"
    command = [
        "export",
        "--frozen",
        "--offline",
        "--no-dev",
        "--all-extras",
        "--no-emit-project",
        "--no-annotate",
        "--no-header",
    ]
    exported = subprocess.run(
        [uv, *command, "--format", "requirements.txt"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    committed = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    # pytest would explain two thousand unequal lines for hours
    differing = sorted(set(committed) ^ set(exported.splitlines()))
    assert differing == [], "run `make lock`"
    assert len(committed) == len(exported.splitlines())
    assert "://" not in exported


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_file_names_a_package_index() -> None:
    index = re.compile("pypi" + r"\.org|python" + r"hosted\.org|registry\." + r"npmjs\.org|deb\." + r"debian\.org")
    named = [path for path in tracked_files() if index.search(path.read_bytes().decode(errors="ignore"))]
    assert named == []


def test_compose_has_a_worker_that_shares_the_uploads() -> None:
    services = re.split(r"^  (?=\w+:$)", (ROOT / "docker-compose.yml").read_text(), flags=re.MULTILINE)
    server = next(service for service in services if service.startswith("footnote:"))
    worker = next(service for service in services if service.startswith("worker:"))
    assert '"footnote", "worker"' in worker
    assert "build: ." in worker, "an image's name would be looked for elsewhere"
    assert "disable: true" in worker, "the image's health check asks a server"
    image = (ROOT / "Dockerfile").read_text()
    for service in (server, worker):
        folder = re.search(r"data:(/\S+)", service)
        assert folder, "what one stores, the other reads"
        assert f"install -d -o footnote -g footnote -m 711 {folder[1]}" in image, "the user may write to the volume"
    assert "libgomp1" in image, "the packaged language model loads it, the slim image lacks it"
