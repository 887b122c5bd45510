"""Replays conformance vectors (docs/abi.md) on core.wasm in wasmtime.

    pip install wasmtime
    python3 examples/hosts/python/replay.py dist/core.wasm dist/conformance/vectors.bin

    WRITE --> the shared memory
    CALL ---> an export --> [its imports read on in the vectors] --> the result: as recorded?
    HASH ---> hash of the memory: as recorded?

Prints the hash of all results; npm run conformance compares it with that of other hosts. Exit code 3: no wasmtime here.
"""

import ctypes
import struct
import sys

try:
    from wasmtime import Config, Engine, Func, FuncType, Instance, Limits, MemoryType, Module, SharedMemory, Store
    from wasmtime import Trap, ValType, WasmtimeError, _ffi
except ImportError:
    print("no module wasmtime: pip install wasmtime", file=sys.stderr)
    sys.exit(3)

PAGE_BYTES = 65536
END, MEMORY, INSTANCE, WRITE, HASH, RETURN, ENTER, THREAD_SPAWN, CALL = 0, 1, 2, 3, 4, 5, 6, 7, 16

# Two lanes of 32 bits: start, r, f and a of docs/abi.md. Python would take minutes for it, so it is WebAssembly.
LANES = ((0x811C9DC5, 13, 5, 0xE6546B64), (0x9747B28C, 11, 0x9E3779B1, 0x85EBCA6B))
HASH_CODE = """
(module
  (import "env" "memory" (memory 1 65536 shared))
  (func (export "lane") (param $bytes i32) (param $lane i32) (param $r i32) (param $f i32) (param $a i32) (result i32)
    (local $at i32)
    (loop $next
      (local.set $lane (i32.add (local.get $a) (i32.mul (local.get $f) (i32.rotl
        (i32.xor (local.get $lane) (i32.load (local.get $at))) (local.get $r)))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $bytes))))
    (local.get $lane)))
"""


class ImportableMemory(SharedMemory):
    """A shared memory as an import. In wasmtime 50.0.1 for Python, SharedMemory passes a pointer too many there."""

    def _as_extern(self):
        union = _ffi.wasmtime_extern_union(sharedmemory=self.ptr())
        return _ffi.wasmtime_extern_t(_ffi.WASMTIME_EXTERN_SHAREDMEMORY, union)


class Difference(Exception):
    """The core has done something else than when it was recorded."""


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def number(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def integer(self):
        value = self.number()
        return (value >> 1) ^ -(value & 1)

    def float(self):
        value = self.number()
        return float(value - 1) if value != 0 else struct.unpack("<d", self.raw(8))[0]

    def raw(self, count):
        self.at += count
        return self.data[self.at - count : self.at]


class Digest:
    def __init__(self):
        self.lanes = [start for start, _, _, _ in LANES]

    def add(self, word):
        for i, (_, r, f, a) in enumerate(LANES):
            mixed = (self.lanes[i] ^ word) & 0xFFFFFFFF
            self.lanes[i] = (((mixed << r) | (mixed >> (32 - r))) * f + a) & 0xFFFFFFFF


class Memories:
    """Memories of earlier seeds, cleared, for the next ones."""

    def __init__(self, engine):
        self.engine = engine
        self.made = {}
        self.used = {}

    def take(self, pages):
        made = self.made.setdefault(pages, [])
        index = self.used.get(pages, 0)
        self.used[pages] = index + 1
        if index == len(made):
            made.append(ImportableMemory(self.engine, MemoryType(Limits(pages, pages), shared=True)))
        ctypes.memset(made[index].data_ptr(), 0, pages * PAGE_BYTES)
        return made[index]


class Replay:
    def __init__(self, engine, modules, functions, memories, digest, data):
        self.store = Store(engine)
        self.core, self.hash = modules
        self.functions = functions
        self.memories = memories
        self.digest = digest
        self.reader = Reader(data)
        self.instances = []
        self.written_to = 0
        self.calls = 0

    def run(self, end):
        reader = self.reader
        while True:
            op = reader.byte()
            if op != WRITE:
                self.written_to = 0  # the first of a row counts from 0
            if op == end:
                return
            if op >= CALL:
                self.call(op - CALL)
            elif op == WRITE:
                at = self.written_to + reader.number()
                data = reader.raw(reader.number())
                ctypes.memmove(ctypes.addressof(self.start.contents) + at, data, len(data))
                self.written_to = at + len(data)
            elif op == HASH:
                for start, r, f, a in LANES:
                    lane = self.lane(self.store, self.bytes, signed(start), r, signed(f), signed(a))
                    self.compare("hash of the memory", lane, int.from_bytes(reader.raw(4), "little"))
            elif op == MEMORY:
                pages = reader.number()
                self.memory = self.memories.take(pages)
                self.start = self.memory.data_ptr()
                self.bytes = pages * PAGE_BYTES
                self.lane = Instance(self.store, self.hash, [self.memory]).exports(self.store)["lane"]
            elif op == INSTANCE:
                self.instances.append(self.instantiate())
            else:
                raise Difference(f"the vectors have {op} where the core has come back")

    def instantiate(self):
        i32 = ValType.i32()
        imports = {
            "memory": self.memory,
            "enter": Func(self.store, FuncType([], []), lambda: self.imported(ENTER)),
            "thread-spawn": Func(self.store, FuncType([i32], [i32]), lambda shard: self.imported(THREAD_SPAWN, shard)),
        }
        exports = Instance(self.store, self.core, [imports[each.name] for each in self.core.imports]).exports(self.store)
        return [exports[name] for name, _, _ in self.functions]

    def imported(self, op, *args):
        """The core calls: then so it did when it was recorded."""
        if self.reader.byte() != op:
            raise Difference("the core has called an import that it did not call")
        for arg in args:
            self.compare("argument of an import", arg, self.reader.integer())
        self.run(RETURN)
        return self.reader.integer() if op == THREAD_SPAWN else None

    def call(self, index):
        reader = self.reader
        name, params, has_result = self.functions[index]
        function = self.instances[reader.number()][index]
        args = [reader.float() if each == "d" else reader.integer() for each in params]
        self.calls += 1
        result = function(self.store, *args)
        if has_result:
            self.compare(f"result of {name}{tuple(args)}", result, reader.integer())

    def compare(self, what, actual, expected):
        self.digest.add(actual)
        if (actual ^ expected) & 0xFFFFFFFF != 0:
            raise Difference(f"{what}: {actual}, not {expected}")


def signed(word):
    return word - (1 << 32) if word >= 1 << 31 else word


def replay(wasm, vectors):
    config = Config()
    config.wasm_threads = True
    config.shared_memory = True
    engine = Engine(config)
    modules = (Module(engine, wasm), Module(engine, HASH_CODE))
    file = Reader(vectors)
    if file.raw(8) != b"FSTRVEC1":
        raise ValueError("these are no vectors: no FSTRVEC1")
    functions = []
    for _ in range(file.number()):
        name = file.raw(file.number()).decode()
        functions.append((name, file.raw(file.number()).decode(), file.byte() == 1))
    memories = Memories(engine)
    digest = Digest()
    seeds = file.number()
    calls = 0
    differences = []
    for _ in range(seeds):
        seed = file.number()
        memories.used.clear()
        run = Replay(engine, modules, functions, memories, digest, file.raw(file.number()))
        try:
            run.run(END)
        except (Difference, Trap, WasmtimeError, IndexError) as error:
            digest.add(seed)
            differences.append((seed, run.calls, error))
        calls += run.calls
    text = "".join(f"{lane:08x}" for lane in digest.lanes)
    print(f"{text} {seeds} seeds, {calls} calls, {len(differences)} differ")
    for seed, call, error in differences[:3]:
        print(f"  seed {seed}, call {call}: {error}")
    return len(differences) == 0


if __name__ == "__main__":
    wasm, vectors = (open(path, "rb").read() for path in sys.argv[1:3])
    sys.exit(0 if replay(wasm, vectors) else 1)
