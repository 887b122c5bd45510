// The thread that notices a turn which does not end (watchdog.ts). It uses V8's inspector to see where the main thread
// is. A loop of microtasks is at no place of its own between two of them, so it steps until it is in the program's
// code.

import { writeSync } from 'node:fs';
import { type Debugger, Session } from 'node:inspector';
import { workerData } from 'node:worker_threads';
import { Beat, viewsOf } from './watchdog.js';

const LOOK_MS = 100;
const STEPS_MAX = 100;
const PAUSE_MS = 3000; // until it is told without a place
const FRAMES_MAX = 12;
const STDERR = 2;

const { beat, name } = viewsOf(workerData as SharedArrayBuffer);
let lastTurns = -1;
let sinceMs = performance.now();

function whatStalls(): string {
  const time = `within ${beat[Beat.STALL_MS]} ms`;
  const bytes = beat[Beat.NAME_BYTES] as number;
  if (bytes !== 0) return `the top level of ${Buffer.from(name.slice(0, bytes))} has not ended ${time}`;
  return `seed ${beat[Beat.SEED]}: a turn of shard ${beat[Beat.SHARD]} has not ended ${time}`;
}

function end(frames: readonly string[]): void {
  writeSync(STDERR, `FEATHERSTAR_SIMULATION: ${whatStalls()}: it is a loop without an end\n${frames.join('\n')}\n`);
  process.kill(process.pid, 'SIGKILL');
}

function frameOf({ functionName, url, location }: Debugger.CallFrame): string {
  return `    at ${functionName || '<anonymous>'} (${url}:${location.lineNumber + 1})`;
}

const isOwn = ({ url }: Debugger.CallFrame) => url.startsWith('file:') && !url.includes('/dist/host/');

function tellPlace(): void {
  const session = new Session();
  session.connectToMainThread();
  let steps = 0;
  setTimeout(() => end(['    at a place that is not known']), PAUSE_MS);
  session.on('Debugger.paused', ({ params: { callFrames } }) => {
    if (callFrames.some(isOwn) || ++steps > STEPS_MAX) end(callFrames.slice(0, FRAMES_MAX).map(frameOf));
    else session.post('Debugger.stepInto');
  });
  session.post('Debugger.enable');
  session.post('Debugger.pause');
}

const timer = setInterval(() => {
  const turns = beat[Beat.TURNS] as number;
  const stallMs = beat[Beat.STALL_MS] as number;
  if (turns !== lastTurns || stallMs === 0) {
    lastTurns = turns;
    sinceMs = performance.now();
  } else if (performance.now() - sinceMs > stallMs) {
    clearInterval(timer);
    tellPlace();
  }
}, LOOK_MS);
