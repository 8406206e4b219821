"""Accelerators that need not be present: how to start their compilers, and their published rates.

A compiler identifies a TPU slice by name, and an NVIDIA card by a description. The numbers are from
Google's pages on v5e, v5p and v6e (cloud.google.com/tpu/docs) and from NVIDIA's data sheets of the
A100 and H100 in their SXM form with 80 GB.
"""

import dataclasses
import importlib.util
import os
import sys


@dataclasses.dataclass(frozen=True)
class Card:
    """An NVIDIA card, in the terms of XLA's compiler.

    Args:
        name: the card's name.
        capability: the major and minor number of its compute capability.
        cores: streaming multiprocessors.
        units: float32 units of each.
        gigahertz: its highest clock.
        bandwidth: bytes per second of its memory.
        memory, cache: bytes of its memory and its second-level cache.
        shared, shared_of_block: bytes of shared memory of a core, and of a block that asks for it.
    """

    name: str
    capability: tuple[int, int]
    cores: int
    units: int
    gigahertz: float
    bandwidth: int
    memory: int
    cache: int
    shared: int
    shared_of_block: int

    def description(self) -> str:
        """XLA's text form of a target, for which get_topology_desc() compiles."""
        device = {
            "threads_per_block_limit": 1024,
            "threads_per_warp": 32,
            "shared_memory_per_block": 48 * 2**10,
            "shared_memory_per_core": self.shared,
            "threads_per_core_limit": 2048,
            "core_count": self.cores,
            "fpus_per_core": self.units,
            "block_dim_limit_x": 2**31 - 1,
            "block_dim_limit_y": 2**16 - 1,
            "block_dim_limit_z": 2**16 - 1,
            "memory_bandwidth": self.bandwidth,
            "l2_cache_size": self.cache,
            "clock_rate_ghz": self.gigahertz,
            "device_memory_size": self.memory,
            "shared_memory_per_block_optin": self.shared_of_block,
            "registers_per_core_limit": 2**16,
            "registers_per_block_limit": 2**16,
        }
        major, minor = self.capability
        lines = [f"{name}: {value}" for name, value in device.items()]
        lines.append(f"cuda_compute_capability {{ major: {major} minor: {minor} }}")
        return (
            f"gpu_device_info {{ {' '.join(lines)} }}\n"
            'platform_name: "CUDA"\n'
            "dnn_version_info { major: 9 minor: 8 }\n"
            "runtime_version { major: 13 minor: 0 }\n"
            f'device_description_str: "{self.name}"\n'
        )


@dataclasses.dataclass(frozen=True)
class Target:
    """A kind of accelerator.

    Args:
        bandwidth: bytes per second of a device's memory.
        memory: bytes of this memory.
        products: FLOP/s of the products that make up a product of "highest".
        passes: number of these in one product of "highest": six of bfloat16 on a TPU.
        launch: estimated seconds for starting a kernel; 0 if nothing is launched.
        card: the description of an NVIDIA card.
        accelerator: the kind of a TPU's host.
    """

    bandwidth: float
    memory: float
    products: float
    passes: int
    launch: float = 0.0
    card: Card | None = None
    accelerator: str = ""


H100 = Card(
    "NVIDIA H100 80GB HBM3", (9, 0), 132, 128, 1.98, 3_352_320_000_000, 84_978_434_048,
    50 * 2**20, 228 * 2**10, 227 * 2**10,
)  # fmt: skip
A100 = Card(
    "NVIDIA A100-SXM4-80GB", (8, 0), 108, 64, 1.41, 2_039_040_000_000, 85_100_068_864,
    40 * 2**20, 164 * 2**10, 163 * 2**10,
)  # fmt: skip
LAUNCH = 3e-6
TARGETS = {
    "v5e": Target(819e9, 16e9, 197e12, 6, accelerator="v5litepod-4"),
    "v5p": Target(2765e9, 95e9, 459e12, 6, accelerator="v5p-8"),
    "v6e": Target(1640e9, 32e9, 918e12, 6, accelerator="v6e-4"),
    "h100": Target(H100.bandwidth, H100.memory, 67e12, 1, LAUNCH, H100),
    "a100": Target(A100.bandwidth, A100.memory, 19.5e12, 1, LAUNCH, A100),
}
INSTALL = {
    True: "pip install --no-deps --target=DIR jax-cuda13-plugin jax-cuda13-pjrt and NVIDIA's own",
    False: "pip install --no-deps --target=DIR libtpu",
}


def target_of(name: str) -> Target:
    """The target of "v5e:2x2" or "h100"."""
    kind = name.partition(":")[0]
    if kind not in TARGETS:
        raise ValueError(f"must be one of {', '.join(TARGETS)}, a TPU's with :2x2; got {name}")
    if TARGETS[kind].card is None and ":" not in name:
        raise ValueError(f"a TPU slice needs its topology, {name}:2x2 for example")
    return TARGETS[kind]


def missing(name: str, compilers: str) -> str | None:
    """What to install for a target, in one line; None if its compiler is installed."""
    is_card = target_of(name).card is not None
    package = "jax_cuda13_plugin" if is_card else "libtpu"
    paths = [compilers, *sys.path] if compilers else sys.path
    if any(os.path.isdir(os.path.join(path, package)) for path in paths):
        return None
    return f"{name} has no compiler here: {INSTALL[is_card]}, and --compilers=DIR (BUILD.md)"


def devices(name: str, compilers: str) -> tuple:
    """The devices of a target. JAX must not have been imported in this process.

    Args:
        name: as in target_of(); "h100:4" means four cards of one host.
        compilers: the folder of the installed compilers; may be empty.

    Returns:
        Devices that programs can be compiled for, but not run on.
    """
    if importlib.util.find_spec("jax") is None or "jax" in sys.modules:
        raise RuntimeError("JAX must not have been imported yet")
    if compilers:
        sys.path.insert(0, compilers)
    target, (kind, _, shape) = target_of(name), name.partition(":")
    if target.card is None:
        os.environ.update(
            JAX_PLATFORMS="cpu",
            TPU_SKIP_MDS_QUERY="1",
            TPU_ACCELERATOR_TYPE=target.accelerator,
            TPU_WORKER_HOSTNAMES="localhost",
        )
        given = {"platform": "tpu", "topology_name": f"{kind}:{shape}"}
    else:
        cuda = os.path.join(compilers, "nvidia", "cu13", "bin")
        os.environ.update(
            JAX_PLATFORMS="cpu,cuda",
            JAX_SKIP_CUDA_CONSTRAINTS_CHECK="1",
            # Autotuning would time kernels on a card.
            XLA_FLAGS=f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0",
            PATH=f"{cuda}{os.pathsep}{os.environ['PATH']}",
        )
        cards = f"1x1x{shape or 1}"
        given = {"platform": "cuda", "topology_name": cards, "topology": cards}
        given["target_config"] = target.card.description()
    from jax.experimental import topologies

    return tuple(topologies.get_topology_desc(**given).devices)
