// The waits of a simulation: the promises that a program expects to settle, and everything that each shard has open.
// Read when something has failed, from the shards' own tables, so it costs nothing before.
//
// Next: world.ts.

import { FeatherstarError } from '../base/errors.js';
import { OP_BYTES } from '../core/layout.js';
import { readHoldings } from '../runtime/stats.js';
import { OP_OPCODE, OP_OWNER, takenSlots } from '../shard/operation.js';
import type { Shard } from '../shard/shard.js';
import { opcodeName } from './trace.js';
import type { Place, World } from './world.js';

const SHOWN_MAX = 40;

interface Expected {
  readonly what: string;
  readonly sinceNs: number;
}

export class Waits {
  readonly #world: World;
  readonly #expected = new Set<Expected>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Settles in a turn of the shard that expects it, also where another shard's code settles the promise. */
  within<T>(ms: number, what: string, promise: PromiseLike<T>): Promise<T> {
    const { calendar, nowNs } = this.#world;
    const place = this.#world.current as Place;
    const expected: Expected = { what, sinceNs: nowNs };
    this.#expected.add(expected);
    const onLate = () => {
      if (place.hasEnded)
        this.#expected.delete(expected); // and with it the code that awaits this
      else this.#tell(`${what} has not settled within ${ms} ms`);
    };
    const late = calendar.add(nowNs + ms * 1e6, onLate, 'never');
    const end = (settle: () => void) => {
      this.#expected.delete(expected);
      calendar.cancel(late);
      if (this.#world.current === place) settle();
      else this.#world.post(place, settle);
    };
    return new Promise<T>((resolve, reject) => {
      promise.then(
        (value) => end(() => resolve(value)),
        (error) => end(() => reject(error)),
      );
    });
  }

  #tell(text: string): never {
    throw new FeatherstarError('FEATHERSTAR_SIMULATION', `${text}: ${this.text()}`);
  }

  text(): string {
    return this.lines().join('\n  ');
  }

  lines(): string[] {
    const { nowNs, places } = this.#world;
    const expected = [...this.#expected].map(
      ({ what, sinceNs }) => `${what} is expected, for ${((nowNs - sinceNs) / 1e6).toFixed(3)} ms so far`,
    );
    return [
      ...shorten(expected),
      ...places.map(openOf),
      ...this.#world.machines.heldLines(),
      ...places.flatMap(detailsOf),
    ];
  }
}

/** Whether a shard waits for a socket or a file, which keeps a process alive. */
export function hasOpenOperations({ number, hasEnded, shard }: Place): boolean {
  return shard !== undefined && !hasEnded && !shard.closed && readHoldings(shard, number).openOperations > 0;
}

function openOf({ label, number, hasEnded, isFrozen, shard }: Place): string {
  if (shard === undefined) return `${label} ${hasEnded ? 'died' : 'does not run'}`;
  if (hasEnded || shard.closed) return `${label} ${shard.closed ? 'stopped' : 'died'}`;
  const { openOperations, pendingTimers, liveTasks } = readHoldings(shard, number);
  const calls = `${openOperations} operations and ${shard.calls?.openCount ?? 0} calls open`;
  const more = [
    `${shard.calls?.servedCount ?? 0} calls of peers running`,
    `${pendingTimers} timers`,
    `${liveTasks} tasks`,
    `${shard.sendBuffers.used} of ${shard.header.sendBufferCount} send buffers in use`,
    `${shard.core.arenaUsed()} of ${shard.header.arenaBytes} bytes of the arena in use`,
  ];
  return `${label} has ${calls}, ${more.join(', ')}${isFrozen ? ', and is frozen' : ''}`;
}

function detailsOf(place: Place): string[] {
  const { shard, host, label, functions, hasEnded } = place;
  if (shard === undefined || host === undefined || hasEnded || shard.closed) return [];
  const files = countOf(host.gate.filesInUse()).map((text) => `${text} in the ${host.fileSlots} file slots`);
  const owners = countOf(shard.ownerNames());
  const lines = [...owners, ...countOf(operationsOf(shard)), ...files, ...countOf(callLines(shard, functions))];
  return shorten(lines).map((text) => `${label}: ${text}`);
}

function* operationsOf(shard: Shard): Generator<string> {
  for (const at of takenSlots(shard.words, shard.base + shard.header.opsOffset, OP_BYTES)) {
    const opcode = shard.words[at + OP_OPCODE] as number;
    yield `${opcodeName(opcode)} of ${shard.ownerName(shard.words[at + OP_OWNER] as number)}`;
  }
}

function* callLines(shard: Shard, functions: readonly string[]): Generator<string> {
  for (const { method, peer, waiting, resolve } of shard.calls?.open ?? []) {
    const name = functions[method] === undefined ? `function ${method} of the library` : `${functions[method]}()`;
    const sent = resolve === undefined ? 'given up, sent to' : 'sent to';
    const state = waiting === undefined ? sent : 'waits to be sent to';
    yield `${name} ${state} shard ${peer}`;
  }
}

/** Equal lines as one, with their number. */
function countOf(lines: Iterable<string>): string[] {
  const counts = new Map<string, number>();
  for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
  return [...counts].map(([line, count]) => `${count} x ${line}`);
}

function shorten(lines: string[]): string[] {
  if (lines.length <= SHOWN_MAX) return lines;
  return [...lines.slice(0, SHOWN_MAX), `... and ${lines.length - SHOWN_MAX} more`];
}
