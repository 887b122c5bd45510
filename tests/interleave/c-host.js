// The whole host in C for the machine to drive: calls.c of examples/hosts/c over host.c, shard.c, park.h and ring.c. It
// sends 16 messages or more in one turn. So it rings a doorbell in the middle of a turn (shard_submit()).
//
// The flow: c-host.c, compiled by the system's C compiler -> HostScenario, which runs a shard of it to its next act ->
// machine.js, which makes the act. An act is a call of core.wasm, an access to a shared word, or a step of the kernel.
//
// The state of the host is bytes that C gives out and takes back (save(), restore()). There is one such host in the
// process: a new HostScenario takes it over.
//
// Next: c-host.c.

import { compileC } from './c-build.js';
import { Act, Var } from './machine.js';
import { Violation } from './scenario.js';
import { Access } from './transform.js';

const STATE_WORDS = 65536;
const SEQ_CST = 5; // __ATOMIC_SEQ_CST
const IN_C = 'the host in C';
const CALL = Var.FIRST_FREE; // index in CALLS of the export that runs
const ARGUMENT = CALL + 1;

// The acts, by their numbers in c-host.c.
const ACTS = [Act.ENTER, Act.SLEEP, Act.LOOK, Act.TAKE];
const ACCESS = 4;
const BROKEN = 5;
const CALLS = [IN_C, 'turn', 'wantsTurn', 'flush', 'post', 'holdRequest', 'beginRequest'];

/** Compiles the host, or a mutant of it. */
export function compileHost(name, changes = []) {
  return compileC(name, 'c-host.c', ['-O0', '-Wl,-z,lazy'], changes);
}

/** `calls` calls of shard 0 to shard 1, all open at once, in a ring of `capacity` slots. */
export class HostScenario {
  name = 'host';
  #host;
  #out = new Float64Array(6);
  #state = new Int32Array(STATE_WORDS);
  #lengths = new Uint32Array(2);

  constructor(host, capacity, calls) {
    this.#host = host;
    const credit = capacity < calls ? Math.max(1, calls - 1) : calls; // a small ring: some wait for credit, too
    Object.assign(this, { capacity, calls, credit });
  }

  begin(machine) {
    this.#host.begin(machine.bytes, this.calls);
  }

  callOf(machine, shard) {
    return CALLS[machine.vars[shard][CALL]];
  }

  next(machine, shard) {
    const vars = machine.vars[shard];
    this.#host.step(shard, vars[Var.RESULT], this.#out);
    const [act, value, at, bytes, isStore, order] = this.#out;
    if (act === BROKEN) throw new Violation(this.#host.counts(new Float64Array(3)));
    vars[CALL] = Math.max(0, act - BROKEN);
    if (act > BROKEN) return [this.callOf(machine, shard), value];
    if (act !== ACCESS) {
      vars[ARGUMENT] = value;
      return ACTS[act];
    }
    const atomic = order === SEQ_CST ? Access.ATOMIC : 0;
    return { at, value, access: (isStore ? Access.STORE : 0) | atomic | (bytes << Access.BYTES) };
  }

  /** The peers whose doorbells this enter rings, a bit each. */
  bellsOf(machine, shard) {
    return machine.vars[shard][ARGUMENT];
  }

  /** Both shards sleep: each call must have its reply. */
  end() {
    const [sent, replied, waiting] = this.#counts();
    if (sent !== this.calls || replied !== sent || waiting !== 0)
      throw new Violation(`${sent} of ${this.calls} calls are sent, ${replied} have a reply, ${waiting} replies wait`);
  }

  #counts() {
    const counts = new Float64Array(3);
    this.#host.counts(counts);
    return counts;
  }

  save() {
    this.#host.state(this.#state, false, this.#lengths);
    return this.#state.slice(0, this.#lengths[1]);
  }

  restore(state) {
    this.#host.state(state, true, this.#lengths);
  }

  /** Every word that decides what the host does next. */
  each(take) {
    this.#host.state(this.#state, false, this.#lengths);
    for (let i = 0; i < this.#lengths[0]; i++) take(this.#state[i]);
  }
}
