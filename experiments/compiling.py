"""How long JAX has been tracing, lowering and compiling, from the events that it tells of."""

import collections

TRACE = "/jax/core/compile/jaxpr_trace_duration"
LOWER = "/jax/core/compile/jaxpr_to_mlir_module_duration"
COMPILE = "/jax/core/compile/backend_compile_duration"


class Compiling:
    """Seconds of tracing, lowering and compiling, and the programs compiled; from its making on."""

    def __init__(self):
        import jax

        self.seconds = collections.Counter()
        self._tracing = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._on_duration)

    def entry(self) -> collections.Counter:
        """Where the next event is to be counted."""
        return self.seconds

    def _on_duration(self, event: str, duration: float, **_) -> None:
        entry = self.entry()
        if event == TRACE:
            # Functions within functions are traced first, and the outermost's time holds theirs.
            self._tracing = max(self._tracing, duration)
        elif event == LOWER:
            entry["tracing"] += self._tracing
            entry["lowering"] += duration
            self._tracing = 0.0
        elif event == COMPILE:
            entry["compiling"] += duration
            entry["programs"] += 1
