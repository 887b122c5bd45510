"""A million calls between two threads of Python, over the core in C by ctypes. It was written from docs/abi.md.

    cc -O2 -shared -fPIC -D_DEFAULT_SOURCE -o featherstar.so dist/c/featherstar_core.c
    python3 examples/hosts/python/calls.py featherstar.so dist/ [COUNT [OPEN]]

    shard 0 --a number--> shard 1
            <--one more--

Only one thread of Python runs at a time, but the protocol is the same: a shard sleeps on a lock, its doorbell. ctypes
lets the other thread run while it is in C.
"""

import ctypes
import json
import os
import re
import struct
import sys
import threading
import time

library_path, dist = sys.argv[1:3]
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000
OPEN = int(sys.argv[4]) if len(sys.argv) > 4 else 64  # calls at a time

with open(os.path.join(dist, "layout.json")) as file:
    layout = json.load(file)
CONSTANTS, ENUMS = layout["constants"], layout["enums"]
TIMER, MAIL = ENUMS["ReadyKind"]["TIMER"], ENUMS["ReadyKind"]["MAIL"]
REQUEST, REPLY = 1, 2  # kinds of messages
DOORBELL = 40
TIMERS = 20
LIMITS = {
    **{"shardCount": 2, "ringSlots": 1024, "creditCount": 256, "sqeSlots": 16, "cqeSlots": 16, "readySlots": 1024},
    **{"opSlots": 64, "timerSlots": 64, "taskSlots": 64, "connectionSlots": 1, "arenaBytes": 4096, "scratchBytes": 64},
    **{"recvBufferCount": 1, "recvBufferBytes": 64, "largeRecvBufferCount": 1, "largeRecvBufferBytes": 64},
    **{"sendBufferCount": 1, "sendBufferBytes": 64, "callSlots": 0},
}
U32, F64, U64 = struct.Struct("<I"), struct.Struct("<d"), struct.Struct("<Q")


class Memory(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("bytes", ctypes.c_uint64)]


SPAWN = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)
ENTER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Imports(ctypes.Structure):
    _fields_ = [("thread_spawn", SPAWN), ("enter", ENTER)]


library = ctypes.CDLL(os.path.abspath(library_path))
library.featherstar_memory_reserve.restype = Memory
library.featherstar_memory_reserve.argtypes = [ctypes.c_uint32]
library.featherstar_instantiate.argtypes = [ctypes.c_void_p, Memory, ctypes.c_void_p, ctypes.c_void_p]
with open(os.path.join(dist, "c", "featherstar_core.h")) as file:
    exports = re.findall(r"^\tX\((\w+), (.*), (\w+)\)", file.read(), re.MULTILINE)  # FEATHERSTAR_EXPORTS
TYPES = {"I": ctypes.c_uint32, "F": ctypes.c_double}
for name, parameters, result in exports:
    function = getattr(library, f"featherstar_{name}")
    function.argtypes = [ctypes.c_void_p, *(TYPES[parameter[0]] for parameter in parameters.split())]
    function.restype = None if result == "void" else ctypes.c_int32

CORE_BYTES = 4096  # more than an instance needs: 200 or so


def offset(struct_name, field):
    return layout["structs"][struct_name]["fields"][field]["offset"]


def now_ns():
    return float(time.monotonic_ns())


class World:
    """What the threads share: the memory, as bytes that Python can index, and the doorbells."""

    def __init__(self):
        planned = self.plan(1)
        self.plan(planned)
        self.bells = [threading.Semaphore(0), threading.Semaphore(0)]
        self.all_booted = threading.Barrier(2)
        self.is_done = False

    def plan(self, pages):
        self.memory = library.featherstar_memory_reserve(pages)
        if not self.memory.at:
            raise MemoryError("no memory for two shards")
        self.view = memoryview((ctypes.c_uint8 * self.memory.bytes).from_address(self.memory.at)).cast("B")
        for name, value in LIMITS.items():
            U32.pack_into(self.view, CONSTANTS["HEADER"] + offset("Header", name), value)
        planner = ctypes.create_string_buffer(CORE_BYTES)
        library.featherstar_instantiate(planner, self.memory, ctypes.byref(Imports()), None)
        return library.featherstar_plan(planner)

    def header(self, name):
        return U32.unpack_from(self.view, CONSTANTS["HEADER"] + offset("Header", name))[0]


class Shard:
    def __init__(self, world, index):
        self.world, self.index, self.view = world, index, world.view
        self.base = world.header("shardsOffset") + index * world.header("shardBytes")
        at = {name: self.base + offset("Control", name) for name in layout["structs"]["Control"]["fields"]}
        self.submit_count, self.recycle_count = at["submitCount"], at["recycleCount"]
        self.now, self.next_deadline, self.quota = at["nowNs"], at["nextDeadlineNs"], at["quotaNs"]
        self.ready_head, self.ready_tail = at["readyHead"], at["readyTail"]
        self.sqes = self.base + world.header("sqeOffset")
        self.ready = self.base + world.header("readyOffset")
        self.inbox = self.base + world.header("inboxOffset")
        self.outgoing = self.base + world.header("outgoingOffset")
        self.waiting = []  # messages that were refused
        self.fired = 0
        self.core = ctypes.create_string_buffer(CORE_BYTES)
        self.imports = Imports(SPAWN(lambda context, shard: 0xFFFFFFFF), ENTER(lambda context: self.enter()))
        library.featherstar_instantiate(self.core, world.memory, ctypes.byref(self.imports), None)
        F64.pack_into(self.view, self.quota, 1e6)
        library.featherstar_boot(self.core, index, now_ns())
        world.all_booted.wait()

    def enter(self):
        """Takes what is staged: doorbells, which have no completions."""
        view = self.view
        for i in range(U32.unpack_from(view, self.submit_count)[0]):
            sqe = self.sqes + i * 64
            if view[sqe + offset("Sqe", "opcode")] == DOORBELL:
                self.world.bells[U32.unpack_from(view, sqe + offset("Sqe", "fd"))[0]].release()
        U32.pack_into(view, self.submit_count, 0)
        U32.pack_into(view, self.recycle_count, 0)
        F64.pack_into(view, self.now, now_ns())

    def run(self, on_mail, is_done):
        """The loop of docs/abi.md, "Turn"."""
        while not is_done():
            self.enter()
            if library.featherstar_wantsTurn(self.core):
                library.featherstar_turn(self.core)
                self.drain(on_mail)
                library.featherstar_flush(self.core)
            elif U32.unpack_from(self.view, self.submit_count)[0] == 0 and library.featherstar_trySleep(self.core, 0):
                left = (F64.unpack_from(self.view, self.next_deadline)[0] - now_ns()) / 1e9
                self.world.bells[self.index].acquire(timeout=min(max(left, 0), 1000))
                library.featherstar_awake(self.core)
        self.enter()
        library.featherstar_stop(self.core)

    def drain(self, on_mail):
        view = self.view
        head = U32.unpack_from(view, self.ready_head)[0]
        while head != U32.unpack_from(view, self.ready_tail)[0]:
            slot = head & (LIMITS["readySlots"] - 1)
            kind = view[self.ready + slot * 16]
            head = (head + 1) & 0xFFFFFFFF
            U32.pack_into(view, self.ready_head, head)
            if kind == MAIL:
                message = self.inbox + slot * 64
                on_mail(view[message], U64.unpack_from(view, message + CONSTANTS["MESSAGE_INLINE"])[0])
            elif kind == TIMER:
                self.fired += 1
            else:  # there is room again
                self.send_waiting()

    def send(self, kind, value):
        self.waiting.append((kind, value))
        if len(self.waiting) == 1:
            self.send_waiting()

    def send_waiting(self):
        while self.waiting:
            kind, value = self.waiting[0]
            self.view[self.outgoing : self.outgoing + 24] = bytes((kind,)) + bytes(23)
            U64.pack_into(self.view, self.outgoing + CONSTANTS["MESSAGE_INLINE"], value)
            if library.featherstar_post(self.core, 1 - self.index) != 0:
                return
            self.waiting.pop(0)


def serve(world):
    """Shard 1: responds to each number with the next one."""
    shard = Shard(world, 1)
    shard.run(lambda kind, value: shard.send(REPLY, value + 1), lambda: world.is_done)


def call(world):
    """Shard 0: makes the calls, and prints what has come of them."""
    shard = Shard(world, 0)
    began = time.monotonic()
    for i in range(1, TIMERS + 1):
        library.featherstar_armTimer(shard.core, now_ns() + i * 1e6, 0, i)
    sent = replied = 0

    def send():
        nonlocal sent
        shard.send(REQUEST, sent)
        sent += 1

    def on_mail(kind, value):
        nonlocal replied
        replied += 1
        if kind != REPLY or value != replied:
            raise ValueError(f"a reply is wrong: {value}")
        if sent < COUNT:
            send()

    while sent < min(COUNT, OPEN):
        send()
    shard.run(on_mail, lambda: replied == COUNT and shard.fired == TIMERS)
    print(f"{replied} calls between two threads, {shard.fired} timers")
    print(f"{(time.monotonic() - began) / COUNT * 1e9:.0f} ns a call", file=sys.stderr)
    world.is_done = True
    world.bells[1].release()


world = World()
thread = threading.Thread(target=serve, args=(world,), daemon=True)  # an error in the first thread ends the program
thread.start()
call(world)
thread.join()
