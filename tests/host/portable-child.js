// A process with one host, its doorbells and one connection, and nothing else that keeps it alive. It says so if it
// still lives after a while. The first argument is what it calls on the host: ref or unref.
//
// Next: portable.test.js, which starts it.

import { Rig } from './portable-rig.js';

const rig = new Rig();
const { slot } = await rig.pair();
rig.receive(slot, 2);
for (const peer of [0, 1]) rig.host.doorbell(peer);
for (const client of rig.clients) client.unref();
rig.host[process.argv[2]]();
setTimeout(() => {
  process.stdout.write('alive');
  rig.close();
}, 300).unref();
