// Reads the shards' memory from outside by atomic loads alone: no shard is asked or told. The map of the memory is
// drawn in assembly/layout.ts, spsc.ts, wheel.ts, slab.ts and task.ts; the offsets themselves come with the runtime.

const MESH = 8192;
const RING_CONTROL_BYTES = 512;
const TASK_BYTES = 32;
const SLEEPING = 128; // of a shard's control block
const DIRTY = 192;
const COUNTERS = { turns: 0, timersFired: 4, tasksRun: 5, requestsSent: 6, requestsReceived: 7, doorbells: 10 };
const LEVELS = 8;

export class Watch {
  #words;
  #longs;
  #header;

  constructor({ memory, header }) {
    this.#words = new Int32Array(memory.buffer);
    this.#longs = new BigUint64Array(memory.buffer);
    this.#header = header;
  }

  #word(at) {
    return Atomics.load(this.#words, at >>> 2) >>> 0;
  }

  #long(at) {
    return Atomics.load(this.#longs, at >>> 3);
  }

  #base(shard) {
    return this.#header.shardsOffset + shard * this.#header.shardBytes;
  }

  /** 0: it is awake; 1: it sleeps; 2: it sleeps, and a peer has rung. */
  sleeping(shard) {
    return this.#word(this.#base(shard) + SLEEPING);
  }

  /** Whether a peer has set its bit: there is mail, or room in a ring that was full. */
  isDirty(shard) {
    return this.#long(this.#base(shard) + DIRTY) !== 0n;
  }

  counters(shard) {
    const at = this.#base(shard) + this.#header.countersOffset;
    return Object.fromEntries(Object.entries(COUNTERS).map(([name, i]) => [name, Number(this.#long(at + 8 * i))]));
  }

  /** The ring from one shard to another: free-running indices of its reader and its writer; `staged`: not shown yet. */
  ring(from, to) {
    const at = MESH + (from * this.#header.shardCount + to) * this.#header.ringBytes;
    const slots = (this.#header.ringBytes - RING_CONTROL_BYTES) / 64;
    return { head: this.#word(at + 128), tail: this.#word(at), staged: this.#word(at + 256), slots };
  }

  /**
   * Both rings of two shards, as they were at one moment. One load after another sees different moments, and a drawing
   * of them could show more replies than requests. So all words are read twice. They only grow: if none has changed,
   * all were true between the two readings. Undefined: they changed in each of `tries` readings.
   */
  rings(a, b, tries = 50) {
    let before = [this.ring(a, b), this.ring(b, a)];
    for (let i = 0; i < tries; i++) {
      const now = [this.ring(a, b), this.ring(b, a)];
      const isSame = now.every(({ head, tail }, k) => head === before[k].head && tail === before[k].tail);
      if (isSame) return now;
      before = now;
    }
    return undefined;
  }

  /** The wheel: what time it is there, in ticks of 512 ns, and for each level which of its 64 slots are taken. */
  wheel(shard) {
    const at = this.#base(shard) + this.#header.wheelOffset;
    return {
      elapsed: this.#long(at),
      occupied: Array.from({ length: LEVELS }, (_, level) => this.#long(at + 64 + 8 * level)),
      pending: this.#word(this.#base(shard) + this.#header.timersOffset + 16),
    };
  }

  /** Which of the first slots of the task table are taken: a task lies there from spawn() until it runs. */
  tasks(shard, count) {
    const at = this.#base(shard) + this.#header.tasksOffset;
    return Array.from({ length: count }, (_, i) => {
      return this.#word(at + (i + 1) * TASK_BYTES) % 2 === 1; // odd generations are taken
    });
  }

  liveTasks(shard) {
    return this.#word(this.#base(shard) + this.#header.tasksOffset + 16);
  }
}
