// The run of tasks that follows a turn: JavaScript's tasks, one by one, as the core's scheduler picks them.
//
// A step of a task is what runs between two picks: the function that the task left behind, and every microtask that it
// releases. So the time of a step is all its own, and the core can charge it to the task's group. It ends when no
// microtask is left, and the one thing that says so is a tick: Node runs ticks when the microtasks are through.
//
//   turn -> microtasks -> tick: pick, run ----> microtasks -> tick: pick, run -> ... until the quota is used up
//                                 |                 ^
//                                 +-- then(arm) ----+  from a microtask: a tick asked for in a tick does not wait
//
// All of it happens before the host's callback is through, so nothing comes in between. Only an uncaught exception
// delays the rest of a run, and turns that come meanwhile do not begin another.

import { Code, fullError } from '../base/errors.js';
import type { Core } from '../core/core-module.js';
import { Control } from '../core/layout.js';
import { monotonicNs } from '../hosts/host.js';
import type { StepMark } from './stall.js';

/** The task that a step belongs to. */
export interface TaskName {
  readonly name: string;
  /** Scheduling group, 0 to 15. */
  readonly group: number;
}

/** Code that no task has started. */
export const NO_TASK: TaskName = { name: 'no task', group: 0 };

const NOW_NS = Control.nowNs >> 3;
const QUOTA_NS = Control.quotaNs >> 3;
const WARNINGS_MAX = 5; // a minute
const MINUTE_NS = 60e9;
const settled = Promise.resolve();

export class Steps {
  readonly #core: Core;
  readonly #clock: Float64Array;
  readonly #mark: StepMark;
  readonly #shard: number;
  readonly #stallNs: number;
  readonly #runs: ((() => void) | undefined)[] = [undefined];
  readonly #tasks: TaskName[] = [NO_TASK];
  readonly #free: number[] = [];
  #current: TaskName | undefined;
  #hasEnded = false;
  #isRunning = false;
  #isFirst = false;
  #isClosed = false;
  #runStartNs = 0;
  #startNs = 0;
  #warnings = 0;
  #unnamed = 0;
  #warningsFromNs = Number.NEGATIVE_INFINITY;

  constructor(core: Core, clock: Float64Array, mark: StepMark, shard: number, stallNs: number) {
    this.#core = core;
    this.#clock = clock;
    this.#mark = mark;
    this.#shard = shard;
    this.#stallNs = stallNs;
  }

  /** The task whose step this is. Other tasks that it resumes count as its own until they yield by themselves. */
  get current(): TaskName {
    return this.#current === undefined || this.#hasEnded ? NO_TASK : this.#current;
  }

  /** The task has ended: the rest of this step belongs to the code that awaited it. */
  noteEnd(task: TaskName): void {
    if (task === this.#current) this.#hasEnded = true;
  }

  /** Whether tasks have had their time, and those that can should let others run. */
  get isQuotaUsed(): boolean {
    const since = this.#current === undefined ? (this.#clock[NOW_NS] as number) : this.#runStartNs;
    return monotonicNs() - since >= (this.#clock[QUOTA_NS] as number);
  }

  /** Throws FULL. */
  queue(task: TaskName, run: () => void): void {
    const id = this.#free.pop() ?? this.#runs.length;
    this.#runs[id] = run;
    this.#tasks[id] = task;
    const result = this.#core.spawnHost(task.group, id);
    if (result >= 0) return;
    this.#give(id);
    throw result === Code.FULL ? fullError('tasks') : new RangeError(`scheduling group ${task.group}`);
  }

  #give(id: number): void {
    this.#runs[id] = undefined;
    this.#tasks[id] = NO_TASK;
    this.#free.push(id);
  }

  /** Begins a run, unless one is under way. */
  begin(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#isFirst = true;
    void settled.then(this.#arm);
  }

  readonly #arm = (): void => process.nextTick(this.#step);

  readonly #step = (): void => {
    if (this.#isClosed) return;
    const nowNs = monotonicNs();
    this.#clock[NOW_NS] = nowNs;
    if (this.#current !== undefined && nowNs - this.#startNs > this.#stallNs && this.#stallNs > 0) this.#warn(nowNs);
    const id = this.#isFirst ? this.#core.firstTask() : this.#core.nextTask();
    if (this.#isFirst) this.#runStartNs = nowNs;
    this.#isFirst = false;
    if (id === 0) {
      this.#end();
      return;
    }
    const run = this.#runs[id] as () => void;
    const task = this.#tasks[id] as TaskName;
    this.#give(id);
    this.#current = task;
    this.#hasEnded = false;
    this.#startNs = nowNs;
    this.#mark.markStep(task.name, nowNs);
    void settled.then(this.#arm);
    run();
  };

  #end(): void {
    this.#current = undefined;
    this.#isRunning = false;
    this.#mark.clearStep();
    this.#core.flush(); // what they wrote to peers
  }

  #warn(nowNs: number): void {
    if (nowNs - this.#warningsFromNs > MINUTE_NS) {
      this.#warningsFromNs = nowNs;
      this.#warnings = 0;
    }
    if (this.#warnings >= WARNINGS_MAX) {
      this.#unnamed++;
      return;
    }
    this.#warnings++;
    const who = `task ${JSON.stringify(this.#current?.name)}${this.#hasEnded ? ' and who awaited it' : ''}`;
    const ms = Math.round((nowNs - this.#startNs) / 1e6);
    const more = this.#unnamed === 0 ? '' : `; ${this.#unnamed} more steps did so since the last warning`;
    this.#unnamed = 0;
    const text = `${who} kept shard ${this.#shard} for ${ms} ms without a yield${more}: await yieldNow() in loops`;
    process.emitWarning(text, 'Featherstar');
  }

  close(): void {
    this.#isClosed = true;
    this.#mark.clearStep();
  }
}
