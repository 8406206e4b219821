"""How long JAX has been tracing, lowering and compiling, from the events that it tells of."""

import collections
from typing import Any

TRACE = "/jax/core/compile/jaxpr_trace_duration"
LOWER = "/jax/core/compile/jaxpr_to_mlir_module_duration"
COMPILE = "/jax/core/compile/backend_compile_duration"


class Compiling:
    """Seconds of tracing, lowering and compiling, and the programs compiled; from its making on."""

    def __init__(self):
        import jax

        self.seconds: dict[str, float] = collections.defaultdict(float)
        self._tracing = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._on_duration)

    def entry(self) -> dict[str, float]:
        """Where the next event is to be counted."""
        return self.seconds

    def _on_duration(self, event: str, duration_secs: float, **_: Any) -> None:
        entry = self.entry()
        if event == TRACE:
            # Functions within functions are traced first, and the outermost's time holds theirs.
            self._tracing = max(self._tracing, duration_secs)
        elif event == LOWER:
            entry["tracing"] += self._tracing
            entry["lowering"] += duration_secs
            self._tracing = 0.0
        elif event == COMPILE:
            entry["compiling"] += duration_secs
            entry["programs"] += 1
