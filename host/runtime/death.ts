// Why a shard ended before it was told to. Node reports it in pieces: 'error' comes before 'exit', and a code of 1 has
// three reasons. Of a thread that was ended from outside it says nothing. So a shard notes in its memory that it is
// ending by itself, and restart() notes what it kills.

import { HostControl } from '../core/layout.js';

/** Why a shard does not run any more. */
export interface ShardDown {
  /**
   * 'exit': process.exit() there. 'error': no code caught `error`. 'out-of-memory': its heap was full. 'killed':
   * restart() with `force`. 'terminated': something else ended its thread from outside.
   */
  how: 'exit' | 'error' | 'out-of-memory' | 'killed' | 'terminated';
  /** The exit code of its thread. */
  exitCode: number;
  /** The uncaught error; of 'out-of-memory' it is Node's own. */
  error: unknown;
}

/** The shard's side: its thread is about to end by itself. */
export function noteExit(memory: WebAssembly.Memory, base: number): void {
  new Int32Array(memory.buffer, base + HostControl.exits, 1)[0] = 1;
}

/** The facts about the end of a worker that are known in the thread that made it. */
export class Death {
  wasKilled = false;
  #error: { value: unknown } | undefined;

  onError(value: unknown): void {
    this.#error = { value };
  }

  /** Why it ended, when it has. */
  why(exitCode: number, memory: WebAssembly.Memory, base: number): ShardDown {
    const error = this.#error?.value;
    const exits = new Int32Array(memory.buffer, base + HostControl.exits, 1)[0] !== 0;
    return { how: this.#how(exits), exitCode, error };
  }

  #how(exits: boolean): ShardDown['how'] {
    if (this.wasKilled) return 'killed';
    if (this.#error === undefined) return exits ? 'exit' : 'terminated';
    const { code } = (this.#error.value ?? {}) as { code?: unknown };
    return code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'out-of-memory' : 'error';
  }
}
