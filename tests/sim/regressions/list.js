// Bugs that seeds have found, each with the seed that found it, and what it was. regressions.test.js runs them, each in
// a process of its own, as they were found. A new one goes to the end.

export const REGRESSIONS = [
  // handOver(), channels and services loaded a part of the library when they were first called. A simulated world has
  // no file of this machine. So the first simulation of a process failed, and the next ones had another trace.
  { program: 'chaos', seed: 1, what: 'a part of the library was loaded within the world' },
  // Deno's Buffer.compare() checks the bounds of one side against the length of the other: a second datagram of one
  // sender threw there. The matrix runs this program on Deno, too.
  { program: 'chaos', seed: 5, what: 'on Deno the second datagram of a sender threw' },
  // A call to the own shard went through Promise.prototype.finally(), which takes fewer ticks on Bun than elsewhere. So
  // the code beside it ran in another order, and the trace was another one.
  { program: 'chaos', seed: 6, what: 'another trace on Bun' },
];
