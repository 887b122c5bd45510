// A worker that sleeps in its ring until a doorbell rings. Started by ring.test.js.
import { parentPort } from 'node:worker_threads';
import { Rig } from './rig.js';

const rig = new Rig();
parentPort.postMessage(rig.ring.fd);
rig.ring.wait(Number.POSITIVE_INFINITY); // not woken: the test's file ends at its deadline
parentPort.postMessage({
  completions: rig.take().length,
  sleeping: rig.control('sleeping'),
});
rig.ring.close();
