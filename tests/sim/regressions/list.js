// Bugs that seeds have found, each with the seed that found it, and what it was. regressions.test.js runs them, each in
// a process of its own, as whoever found it did. A new one goes to the end.

export const REGRESSIONS = [
  // handOver(), channels and services loaded a part of the library when they were first called; in a world no file of
  // this machine is there, so the first simulation of a process failed, and the next ones had another trace.
  { program: 'chaos', seed: 1, what: 'a part of the library was loaded within the world' },
];
