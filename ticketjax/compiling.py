"""The time that JAX spends tracing, lowering and compiling, from the events that it reports."""

import collections
from typing import Any

TRACE = "/jax/core/compile/jaxpr_trace_duration"
LOWER = "/jax/core/compile/jaxpr_to_mlir_module_duration"
COMPILE = "/jax/core/compile/backend_compile_duration"


class Compiling:
    """Seconds of tracing, lowering and compiling, and the number of programs compiled.

    Counting starts when the object is made, and ends with the block if it is used as a context.
    """

    def __init__(self):
        import jax

        self.seconds: dict[str, float] = collections.defaultdict(float)
        self._tracing = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._on_duration)

    def __enter__(self) -> "Compiling":
        return self

    def __exit__(self, *_: Any) -> None:
        import jax

        jax.monitoring.unregister_event_duration_listener(self._on_duration)

    def total(self) -> float:
        """Seconds of all three together."""
        return sum(self.seconds[name] for name in ("tracing", "lowering", "compiling"))

    def entry(self) -> dict[str, float]:
        """The dictionary to which the next event is added."""
        return self.seconds

    def _on_duration(self, event: str, duration_secs: float, **_: Any) -> None:
        entry = self.entry()
        if event == TRACE:
            # Inner functions are traced first; the outermost function's time includes theirs.
            self._tracing = max(self._tracing, duration_secs)
        elif event == LOWER:
            entry["tracing"] += self._tracing
            entry["lowering"] += duration_secs
            self._tracing = 0.0
        elif event == COMPILE:
            entry["compiling"] += duration_secs
            entry["programs"] += 1
