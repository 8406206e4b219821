"""The machine of a measurement: processor, cores, versions, commit."""

import importlib.metadata
import os
import platform
import subprocess


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def _commit() -> str:
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "unknown"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def describe() -> str:
    """Two lines for the head of a results file."""
    import jax

    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    devices = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    versions = ", ".join(f"{p} {_version(p)}" for p in ("jax", "jaxlib", "torch", "numpy"))
    return (
        f"machine: {_processor()}, {cores} cores; JAX devices: {devices}\n"
        f"versions: Python {platform.python_version()}, {versions}; commit {_commit()}"
    )
