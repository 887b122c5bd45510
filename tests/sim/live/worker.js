// node tests/sim/live/worker.js FROM COUNT PARTS    live seeds in a process of their own
//
// Every world leaves something behind in its process, so one does not run many. Says what came of each, as JSON.

import { ledger } from './ledger.js';
import { runLive } from './live.js';

const [from, count] = process.argv.slice(2, 4).map(Number);
const only = process.argv[4]?.split(',');
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

for (let seed = from; seed < from + count; seed++) {
  try {
    const { traceHash, events, turns, virtualMs } = await runLive(seed, { only });
    say({ seed, traceHash, events, turns, virtualMs });
  } catch (error) {
    const { trace = [], cause = error, message } = error;
    say({ seed, failure: message, stack: String(cause?.stack ?? cause), trace });
  }
}
say({ counts: [...ledger.counts] });
