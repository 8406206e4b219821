"""What a compiled program does, read from XLA's text: loops, kernels, bytes, collectives."""

import functools
import math
import re
from typing import NamedTuple

# No kernel is launched for these, which only name existing values.
FREE = frozenset(
    """
    parameter constant tuple get-tuple-element bitcast after-all opt-barrier optimization-barrier
    partition-id replica-id add-dependency
    """.split()
)
COLLECTIVES = frozenset(
    """
    all-gather all-reduce all-to-all collective-broadcast collective-permute ragged-all-to-all
    reduce-scatter
    """.split()
)
TRANSFERS = frozenset({"infeed", "outfeed", "send", "recv"})
SLICES = frozenset({"dynamic-slice", "slice", "gather"})
BITS = {"pred": 8, "s4": 4, "u4": 4, "bf16": 16, "c64": 64, "c128": 128, "token": 0, "opaque": 0}

_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](\{[^}]*\})?")
_HEAD = re.compile(r"^(?:ENTRY )?%([^\s(]+) \(.*\{$")
_NAME = re.compile(r"%([^\s,(){}]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


class Instruction(NamedTuple):
    """One line of the text.

    Args:
        name, shape: of its result.
        opcode: the operation.
        operands: names of its operands.
        argument: its number among the computation's arguments, or -1.
        attributes: the rest of the line.
        is_root: whether its result is that of the computation.
    """

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    argument: int
    attributes: str
    is_root: bool

    def called(self, *names: str) -> list[str]:
        """The computations that it names under these attributes."""
        found = (re.search(rf"\b{name}=%([^\s,(){{}}]+)", self.attributes) for name in names)
        return [match.group(1) for match in found if match]

    @property
    def steps(self) -> int | None:
        """The number of steps of a loop, if the compiler knows it."""
        match = _TRIPS.search(self.attributes)
        return int(match.group(1)) if match else None


class Step(NamedTuple):
    """What one step of a loop does.

    Args:
        kernels: instructions that are launched; those of inner loops count once for each step.
        bytes: read and written by these outside the chip's own memory, without padding.
    """

    kernels: int
    bytes: int


def bytes_of(shape: str) -> int:
    """Bytes of all arrays of a shape that do not lie in the chip's own memory (S(1) and so on).

    >>> bytes_of("(f32[2,3]{1,0}, s32[], f32[100]{0:T(128)S(1)})")
    28
    """
    total = 0
    for dtype, sizes, layout in _ARRAY.findall(shape):
        if re.search(r"S\([1-9]", layout):
            continue
        digits = re.sub(r"\D*(\d+).*", r"\1", dtype)
        bits = BITS.get(dtype) if dtype in BITS else int(digits)
        total += math.prod(int(size) for size in sizes.split(",") if size) * bits
    return total // 8


def _split(text: str) -> tuple[str, str]:
    """Split a text after its first parenthesis or word."""
    if not text.startswith("("):
        first, _, rest = text.partition(" ")
        return first, rest
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[: i + 1], text[i + 1 :].lstrip()
    raise ValueError(f"parentheses that are not closed: {text[:80]}")


def _instruction(line: str) -> Instruction | None:
    name, found, rest = line.strip().partition(" = ")
    if not found or not name.removeprefix("ROOT ").startswith("%"):
        return None
    shape, rest = _split(rest)
    opcode, _, _ = rest.partition("(")
    operands, attributes = _split(rest[len(opcode) :])
    return Instruction(
        name.removeprefix("ROOT ")[1:],
        shape,
        opcode,
        tuple(_NAME.findall(operands)),
        int(operands[1:-1]) if opcode == "parameter" else -1,
        attributes,
        name.startswith("ROOT "),
    )


class Module:
    """A compiled program.

    Args:
        text: from its as_text().
    """

    def __init__(self, text: str):
        self.computations: dict[str, dict[str, Instruction]] = {}
        here: dict[str, Instruction] = {}
        for line in text.splitlines():
            head = _HEAD.match(line)
            if head:
                here = self.computations.setdefault(head.group(1), {})
                continue
            instruction = _instruction(line)
            if instruction is not None:
                here[instruction.name] = instruction

    def opcodes(self) -> set[str]:
        """All its opcodes, without the endings of asynchronous ones."""
        return {
            re.sub("-(start|done|update)$", "", instruction.opcode)
            for here in self.computations.values()
            for instruction in here.values()
        }

    def inner_step(self) -> Step | None:
        """One step of the nested loop that moves the most bytes; None without such a loop.

        In a program that trains, this is a step of the training, within the loop over epochs.
        """
        bodies = {
            name: [loop.called("body")[0] for loop in here.values() if loop.opcode == "while"]
            for name, here in self.computations.items()
        }
        outer = {body for within in bodies.values() for body in within}
        inner = [self._work(body) for name in outer for body in bodies[name]]
        return max(inner, key=lambda work: work.bytes, default=None)

    @functools.cache  # noqa: B019 - a module lives as long as its numbers
    def _work(self, computation: str) -> Step:
        kernels = size = 0
        here = self.computations[computation]
        for instruction in here.values():
            inner = []
            if instruction.opcode in ("while", "call", "conditional"):
                inner = instruction.called("body", "to_apply")
            for name in inner:
                work, times = self._work(name), instruction.steps or 1
                kernels, size = kernels + times * work.kernels, size + times * work.bytes
            if not inner and instruction.opcode not in FREE:
                kernels += not instruction.opcode.endswith("-done")
                size += self._moved(instruction, here)
        return Step(kernels, size)

    def _moved(self, instruction: Instruction, here: dict[str, Instruction]) -> int:
        """Bytes that one instruction reads and writes; for a slice, only those of the slice."""
        if instruction.opcode.endswith("-done"):
            return 0
        shapes = [here[name].shape for name in instruction.operands if name in here]
        if instruction.opcode.endswith("-start"):
            # The result contains source and destination, with the memory of each in its layout.
            return bytes_of(instruction.shape)
        if instruction.opcode in SLICES:
            return 2 * bytes_of(instruction.shape)
        if instruction.opcode == "dynamic-update-slice":
            return 2 * bytes_of(shapes[1])
        called = instruction.called("calls") if instruction.opcode == "fusion" else []
        if not called:
            return bytes_of(instruction.shape) + sum(map(bytes_of, shapes))
        inner = self.computations[called[0]]
        root = next(i for i in inner.values() if i.is_root)
        in_place = root.opcode == "dynamic-update-slice"
        written = bytes_of(inner[root.operands[1]].shape if in_place else instruction.shape)
        return written + sum(
            self._read(inner, number, shape) for number, shape in enumerate(shapes)
        )

    @staticmethod
    def _read(inner: dict[str, Instruction], number: int, shape: str) -> int:
        """Bytes that a fusion reads of one operand, given its shape outside."""
        parameter = next(i.name for i in inner.values() if i.argument == number)
        whole = bytes_of(shape)
        users = [i for i in inner.values() if parameter in i.operands]
        if not whole or not users:
            return 0
        if all(i.opcode in SLICES and i.operands[0] == parameter for i in users):
            return min(whole, sum(bytes_of(i.shape) for i in users))
        if all(i.opcode == "dynamic-update-slice" and i.operands[0] == parameter for i in users):
            return 0
        return whole
