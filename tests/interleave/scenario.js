// What the two shards do while their steps are interleaved: a host's loop as small as it can be, and what must hold.
//
//   ring    shard 0 sends `messages` requests, shard 1 takes them; both poll, nobody sleeps
//   dirty   the same, but the only thing that makes a shard take a turn is a dirty bit or work of its own
//   sleep   the same, but both sleep whenever trySleep() lets them
//   call    as sleep, and shard 1 answers each request; credit for one call less than there are messages
//   cross   as call, and shard 1 calls shard 0 as well
//
// A host is a table of places: `next()` is asked when its last act has ended, looks at where it is, and answers what
// to do: a call of the core (an array: name and arguments) or Act.ENTER, SLEEP, DONE. Its variables are words in
// machine.vars, as they are part of the state.
//
// Next: explore.js.

import { Control } from '../../dist/host/layout.js';
import { Act, Var } from './machine.js';

const PAYLOAD_WORDS = 10;
const NO_CREDIT = -5004;
const READY = { REQUEST: 3, REPLY: 4, CREDIT: 5 };

const Place = {
  SEND: 0,
  BEGUN: 1,
  SENT: 2,
  ENTER: 3,
  TURN: 4,
  TURNED: 5,
  TRY: 6,
  TRIED: 7,
  WOKEN: 8,
  END: 9,
  ASK: 10,
  DOZE: 11,
};
const AT = Var.FIRST_FREE; // Place
const CALL = AT + 1; // index in CALLS of the export that runs
const SENT = AT + 2;
const GOT = AT + 3; // requests that were taken
const ANSWERED = AT + 4; // replies that were taken
const LAST = AT + 5; // 1: the other side had nothing more to tell when this turn began
const OVER = AT + 6; // 1: all is sent, published and told
const CALLS = ['callBegin', 'callSend', 'turn', 'callReply', 'callFree', 'trySleep', 'awake', 'hasWork', 'flush'];

export const SCENARIOS = {
  ring: { sleeps: false, asks: false, replies: false, both: false, flushes: true },
  dirty: { sleeps: false, asks: true, replies: false, both: false, flushes: true },
  sleep: { sleeps: true, asks: false, replies: false, both: false, flushes: false },
  call: { sleeps: true, asks: false, replies: true, both: false, flushes: true },
  cross: { sleeps: true, asks: false, replies: true, both: true, flushes: true },
};

/** What was broken, as a sentence. */
export class Violation extends Error {}

function check(holds, text) {
  if (!holds) throw new Violation(text);
}

const wordOf = (from, n, i) => Math.imul(n + 1, 0x9e3779b9) + from * 0x01010101 + i;

export class Scenario {
  constructor(name, capacity, messages) {
    Object.assign(this, SCENARIOS[name], { name, capacity });
    this.messages = [messages, this.both ? messages : 0];
    this.credit = this.replies ? Math.max(1, messages - 1) : messages; // one less: a call waits for credit
  }

  callOf(machine, shard) {
    return CALLS[machine.vars[shard][CALL]];
  }

  #call(vars, place, name, ...args) {
    vars[AT] = place;
    vars[CALL] = CALLS.indexOf(name);
    return [name, ...args];
  }

  #slot(machine, shard, index) {
    return (machine.bases[shard] + machine.header.callsOffset + index * 128 + 32) >>> 2;
  }

  /** Writes or compares the payload of message `n` of shard `from`, which lies inline in a call slot. */
  #write(machine, shard, index, from, n) {
    const at = this.#slot(machine, shard, index) + 6;
    for (let i = 0; i < PAYLOAD_WORDS; i++) machine.u32[at + i] = wordOf(from, n, i);
  }

  #read(machine, shard, index, from, n, what) {
    const at = this.#slot(machine, shard, index) + 6;
    const text = `${what} ${n} of shard ${from} is lost, doubled, out of order or torn`;
    for (let i = 0; i < PAYLOAD_WORDS; i++) check(machine.u32[at + i] === wordOf(from, n, i) >>> 0, text);
  }

  next(machine, shard) {
    const vars = machine.vars[shard];
    const result = vars[Var.RESULT];
    switch (vars[AT]) {
      case Place.SEND:
        if (vars[SENT] === this.messages[shard]) return this.#publish(machine, shard, vars);
        return this.#call(vars, Place.BEGUN, 'callBegin', 1 - shard);
      case Place.BEGUN:
        if (result < 0) {
          check(result === NO_CREDIT, `callBegin() answers ${result}`);
          return this.#publish(machine, shard, vars);
        }
        this.#write(machine, shard, result, shard, vars[SENT]);
        return this.#call(vars, Place.SENT, 'callSend', result, 7, PAYLOAD_WORDS * 4, 0);
      case Place.SENT:
        vars[SENT]++;
        vars[AT] = Place.SEND;
        return this.next(machine, shard);
      case Place.ENTER:
        this.#note(machine, shard, vars);
        vars[AT] = Place.TURN;
        return Act.ENTER;
      case Place.TURN:
        vars[LAST] = machine.vars[1 - shard][OVER];
        return this.#call(vars, Place.TURNED, 'turn');
      case Place.TURNED:
        this.#note(machine, shard, vars);
        return this.#drain(machine, shard, vars) ?? this.#idle(machine, shard, vars);
      case Place.ASK:
        vars[AT] = result === 0 && vars[LAST] === 1 && vars[OVER] === 1 ? Place.END : Place.TURN;
        if (vars[AT] === Place.END) return Act.DONE;
        if (result !== 0) return this.next(machine, shard);
        vars[AT] = Place.TRY; // nothing to do: ask again, after the other has had its chance
        return Act.ENTER;
      case Place.TRY:
        vars[LAST] = machine.vars[1 - shard][OVER];
        return this.#call(vars, Place.ASK, 'hasWork');
      case Place.TRIED:
        vars[AT] = result !== 0 ? Place.DOZE : Place.TURN;
        return Act.ENTER; // what is staged goes out before the sleep, as the kernel does it in one enter
      case Place.DOZE:
        vars[AT] = Place.WOKEN;
        return Act.SLEEP;
      case Place.WOKEN:
        return this.#call(vars, Place.ENTER, 'awake');
      default:
        throw new Error(`no place ${vars[AT]}`);
    }
  }

  /** At once, or with the turn that follows: then a message that finds no room is tried once before the sleep. */
  #publish(machine, shard, vars) {
    if (this.flushes) return this.#call(vars, Place.ENTER, 'flush');
    vars[AT] = Place.ENTER;
    return this.next(machine, shard);
  }

  /** Between two calls: if all of its messages are published by now, their bits are set as well. */
  #note(machine, shard, vars) {
    const all = this.messages[shard];
    vars[OVER] = Number(vars[SENT] === all && machine.ringWord(shard, 0) === all);
  }

  #idle(machine, shard, vars) {
    if (vars[SENT] < this.messages[shard]) {
      const credit = vars[SENT] - vars[ANSWERED] < this.credit;
      if (credit) {
        vars[AT] = Place.SEND;
        return this.next(machine, shard);
      }
    }
    const busy = machine.word(shard, Control.moreWork) !== 0;
    if (this.sleeps && busy) {
      vars[AT] = Place.TURN;
      return Act.ENTER;
    }
    if (this.sleeps) return this.#call(vars, Place.TRIED, 'trySleep', 0);
    if (this.asks) {
      vars[AT] = Place.TRY;
      return Act.ENTER;
    }
    vars[AT] = vars[LAST] === 1 && vars[OVER] === 1 ? Place.END : Place.TURN;
    return vars[AT] === Place.END ? Act.DONE : Act.ENTER;
  }

  /** Takes one entry of the ready ring. Answers the call that it leads to, or null when there is none. */
  #drain(machine, shard, vars) {
    const base = machine.bases[shard];
    for (;;) {
      const head = (base + Control.readyHead) >>> 2;
      if (machine.u32[head] === machine.word(shard, Control.readyTail)) return null;
      const slot = machine.u32[head] & (machine.header.readySlots - 1);
      const at = (base + machine.header.readyOffset + slot * 16) >>> 2;
      const [kind, index] = [machine.u32[at] & 0xff, machine.u32[at + 1]];
      machine.u32[head]++;
      if (kind === READY.REQUEST) {
        check(vars[GOT] < this.messages[1 - shard], `shard ${shard} got a message that nobody sent`);
        this.#read(machine, shard, index, 1 - shard, vars[GOT], 'request');
        if (this.replies) this.#write(machine, shard, index, shard, 1000 + vars[GOT]);
        vars[GOT]++;
        if (this.replies) return this.#call(vars, Place.TURNED, 'callReply', index, 0, PAYLOAD_WORDS * 4, 0);
      } else if (kind === READY.REPLY) {
        this.#read(machine, shard, index, 1 - shard, 1000 + vars[ANSWERED], 'reply');
        vars[ANSWERED]++;
        return this.#call(vars, Place.TURNED, 'callFree', index);
      } else check(kind === READY.CREDIT, `an entry of kind ${kind} in the ready ring`);
    }
  }

  /** Nobody can go on: everything has to have arrived, and nothing may lie about. */
  end(machine) {
    for (const shard of [0, 1]) {
      const vars = machine.vars[shard];
      const asleep = vars[Var.ACT] === Act.SLEEP ? ', asleep and without a doorbell' : '';
      const sent = machine.vars[1 - shard][SENT];
      check(vars[SENT] === this.messages[shard], `shard ${shard} has sent ${vars[SENT]} of its messages${asleep}`);
      check(vars[GOT] === sent, `shard ${shard} has ${vars[GOT]} of ${sent} messages${asleep}`);
      const answers = this.replies ? vars[SENT] : 0;
      check(vars[ANSWERED] === answers, `shard ${shard} has ${vars[ANSWERED]} of ${answers} replies${asleep}`);
    }
    for (const shard of [0, 1]) {
      const [tail, head] = [machine.ringWord(shard, 0), machine.ringWord(shard, 128)];
      check(tail === head, `a message lies in the ring of shard ${shard}: tail ${tail}, head ${head}`);
    }
  }
}
