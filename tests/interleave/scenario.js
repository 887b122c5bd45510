// What the two shards do while their steps are interleaved: a host's loop as small as it can be, and what must hold.
//
//   ring    shard 0 sends `messages` requests, shard 1 takes them; both poll, neither sleeps
//   dirty   the same, but the only thing that makes a shard take a turn is a dirty bit or work of its own
//   sleep   the same, but both sleep whenever trySleep() lets them, as hosts do
//   drip    as sleep, and each message is published before the next one is written
//   early   as drip, and a doorbell that is staged then goes out at once, in the middle of the turn
//   credit  as sleep, and there is one credit: each request waits until the one before it has begun
//   call    as sleep, and shard 1 answers each request; credit for one request less than there are
//   cross   as call, and shard 1 calls shard 0 as well
//
// The loop is that of host/shard/shard.ts: turn, drain the ready ring, post, flush. What post() refuses is tried again
// only when a ROOM entry has come: so a notice of room or credit that is lost ends in a shard that sleeps for ever.
//
// Around it stands a host's, in one of two orders:
//
//   core  host/hosts/turn.ts: enter, trySleep, sleep, awake, wantsTurn, by the core's exports
//   c     host/native/loop.c: trySleep, enter, which sleeps if it may, awake, wantsTurn, by park.h
//
// A host is a table of places: `next()` is asked when its last act has ended, looks at where it is, and returns what
// to do: a call of the core (an array: name and arguments) or Act.ENTER, SLEEP, DONE. Its variables are words in
// machine.vars, as they are part of the state.
//
// Next: explore.js.

import { Control, ReadyKind } from '../../dist/host/core/layout.js';
import { Act, Var } from './machine.js';

const PAYLOAD_WORDS = 10;
const FULL = -5001;
const NO_CREDIT = -5004;
const Kind = { REQUEST: 1, REPLY: 2 };

const Place = {
  POST: 0,
  POSTED: 1,
  FLUSHED: 2,
  TURN: 3,
  TURNED: 4,
  TRY: 5,
  ASKED: 6,
  SETTLE: 7,
  TRIED: 8,
  DOZE: 9,
  WOKEN: 10,
  LOOK: 11,
  LOOKED: 12,
  END: 13,
};
const AT = Var.FIRST_FREE; // Place
const CALL = AT + 1; // index in CALLS of the export that runs
const SENT = AT + 2; // requests
const GOT = AT + 3; // requests that were taken
const REPLIED = AT + 4; // replies that were sent
const ANSWERED = AT + 5; // replies that were taken
const WAITS = AT + 6; // 1: post() was refused, and no ROOM entry has come since
const LAST = AT + 7; // 1: the other side had nothing more to tell when this turn began
const OVER = AT + 8; // 1: all is sent, published and told
const CALLS = ['post', 'flush', 'turn', 'wantsTurn', 'trySleep', 'awake'];

export const SCENARIOS = {
  ring: { sleeps: false, asks: false, replies: false, both: false },
  dirty: { sleeps: false, asks: true, replies: false, both: false },
  sleep: { sleeps: true, asks: false, replies: false, both: false },
  drip: { sleeps: true, asks: false, replies: false, both: false, publishesEach: true },
  early: { sleeps: true, asks: false, replies: false, both: false, publishesEach: true, ringsEach: true },
  credit: { sleeps: true, asks: false, replies: false, both: false },
  call: { sleeps: true, asks: false, replies: true, both: false },
  cross: { sleeps: true, asks: false, replies: true, both: true },
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
    this.credit = name === 'credit' ? 1 : this.replies ? Math.max(1, messages - 1) : messages;
  }

  callOf(machine, shard) {
    return CALLS[machine.vars[shard][CALL]];
  }

  #call(vars, place, name, ...args) {
    vars[AT] = place;
    vars[CALL] = CALLS.indexOf(name);
    return [name, ...args];
  }

  /** Writes message `n` of shard `from`, a request, or its reply to request `n` of the other. */
  #post(machine, shard, kind, n) {
    const at = (machine.bases[shard] + machine.header.outgoingOffset) >>> 2;
    machine.u32.set([kind, shard, n, PAYLOAD_WORDS * 4, 0], at);
    for (let i = 0; i < PAYLOAD_WORDS; i++) machine.u32[at + 6 + i] = wordOf(shard, kind * 1000 + n, i);
    return this.#call(machine.vars[shard], Place.POSTED, 'post', 1 - shard);
  }

  /** Compares the message in a slot of the inbox with message `n` of shard `from`. */
  #check(machine, shard, slot, kind, n) {
    const at = (machine.bases[shard] + machine.header.inboxOffset + slot * 64) >>> 2;
    const what = kind === Kind.REQUEST ? 'request' : 'reply';
    const text = `${what} ${n} of shard ${1 - shard} is lost, doubled, out of order or torn`;
    check((machine.u32[at] & 0xff) === kind && machine.u32[at + 2] === n, text);
    for (let i = 0; i < PAYLOAD_WORDS; i++)
      check(machine.u32[at + 6 + i] === wordOf(1 - shard, kind * 1000 + n, i) >>> 0, text);
  }

  next(machine, shard) {
    const vars = machine.vars[shard];
    const result = vars[Var.RESULT];
    switch (vars[AT]) {
      case Place.POST: {
        const owes = this.replies ? vars[GOT] - vars[REPLIED] : 0;
        if (vars[WAITS] === 0 && owes > 0) return this.#post(machine, shard, Kind.REPLY, vars[REPLIED]);
        if (vars[WAITS] === 0 && vars[SENT] < this.messages[shard])
          return this.#post(machine, shard, Kind.REQUEST, vars[SENT]);
        return this.#call(vars, Place.FLUSHED, 'flush');
      }
      case Place.POSTED:
        if (result < 0) {
          check(result === FULL || result === NO_CREDIT, `post() returns ${result}`);
          vars[WAITS] = 1;
        } else if (this.replies && vars[REPLIED] < vars[GOT]) vars[REPLIED]++;
        else vars[SENT]++;
        vars[AT] = Place.POST;
        return this.publishesEach ? this.#call(vars, Place.FLUSHED, 'flush') : this.next(machine, shard);
      case Place.FLUSHED:
        if (this.publishesEach && vars[WAITS] === 0 && vars[SENT] < this.messages[shard]) {
          vars[AT] = Place.POST;
          if (this.ringsEach && machine.word(shard, Control.submitCount) > 0) return Act.ENTER;
          return this.next(machine, shard);
        }
        this.#note(machine, shard, vars);
        return this.#idle(machine, shard, vars);
      case Place.TURN:
        vars[LAST] = machine.vars[1 - shard][OVER];
        return this.#call(vars, Place.TURNED, 'turn');
      case Place.TURNED:
        this.#drain(machine, shard, vars);
        vars[AT] = Place.POST;
        return this.next(machine, shard);
      case Place.TRY:
        vars[LAST] = machine.vars[1 - shard][OVER];
        return this.#call(vars, Place.ASKED, 'wantsTurn');
      case Place.ASKED:
        if (result !== 0) vars[AT] = Place.TURN;
        else vars[AT] = vars[LAST] === 1 && vars[OVER] === 1 ? Place.END : Place.TRY;
        if (vars[AT] === Place.END) return Act.DONE;
        return result !== 0 ? this.next(machine, shard) : Act.ENTER; // ask again when the other has had its chance
      case Place.SETTLE:
        return this.#call(vars, Place.TRIED, 'trySleep', 0);
      case Place.TRIED:
        if (machine.park === undefined) {
          vars[AT] = Place.WOKEN;
          return result !== 0 ? Act.SLEEP : this.next(machine, shard);
        }
        vars[AT] = result !== 0 ? Place.DOZE : Place.LOOK;
        return Act.ENTER; // what is staged goes out before the sleep, as the kernel does it in one enter
      case Place.DOZE:
        vars[AT] = Place.WOKEN;
        return Act.SLEEP;
      case Place.WOKEN:
        return this.#call(vars, Place.LOOK, 'awake');
      case Place.LOOK:
        return this.#call(vars, Place.LOOKED, 'wantsTurn');
      case Place.LOOKED:
        if (result === 0) return this.#idle(machine, shard, vars);
        vars[AT] = Place.TURN;
        return this.next(machine, shard);
      default:
        throw new Error(`no place ${vars[AT]}`);
    }
  }

  /** Between two calls: if all of its messages are published by now, their bits are set as well. */
  #note(machine, shard, vars) {
    const all = this.messages[shard];
    const areVisible = vars[SENT] === all && machine.ringWord(shard, 0) === all && machine.buffers.areVisible;
    vars[OVER] = Number(areVisible);
  }

  #idle(machine, shard, vars) {
    if (this.sleeps) {
      vars[AT] = Place.SETTLE;
      return machine.park === undefined ? Act.ENTER : this.next(machine, shard);
    }
    vars[AT] = this.asks ? Place.TRY : Place.TURN;
    if (!this.asks && vars[LAST] === 1 && vars[OVER] === 1) {
      vars[AT] = Place.END;
      return Act.DONE;
    }
    return Act.ENTER;
  }

  #isReady(machine, shard) {
    return machine.word(shard, Control.readyHead) !== machine.word(shard, Control.readyTail);
  }

  /** Takes all entries of the ready ring. */
  #drain(machine, shard, vars) {
    const base = machine.bases[shard];
    const head = (base + Control.readyHead) >>> 2;
    const out = machine.vars[1 - shard][SENT] - vars[GOT]; // none of these has begun
    check(out <= this.credit, `${out} requests are out, with ${this.credit} credits`);
    for (; this.#isReady(machine, shard); machine.u32[head]++) {
      const slot = machine.u32[head] & (machine.header.readySlots - 1);
      const kind = machine.u32[(base + machine.header.readyOffset + slot * 16) >>> 2] & 0xff;
      if (kind === ReadyKind.ROOM) {
        vars[WAITS] = 0;
        continue;
      }
      check(kind === ReadyKind.MAIL, `an entry of kind ${kind} in the ready ring`);
      const message = (base + machine.header.inboxOffset + slot * 64) >>> 2;
      if ((machine.u32[message] & 0xff) === Kind.REQUEST) {
        check(vars[GOT] < this.messages[1 - shard], `shard ${shard} got a message that was never sent`);
        this.#check(machine, shard, slot, Kind.REQUEST, vars[GOT]++);
      } else this.#check(machine, shard, slot, Kind.REPLY, vars[ANSWERED]++);
    }
  }

  /** Neither can go on: everything has to have arrived, and nothing may lie about. */
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
