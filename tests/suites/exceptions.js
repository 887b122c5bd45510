// Which tests of a suite are exceptions, the tests that only the peer passes, and whether each has its reason in
// excused.txt. Outcomes are Maps: test -> { outcome, message }. Next: main.js.

/** The excuses of a suite: test -> reason. A line of `text` is a suite and a test; the reason is indented below. */
export function excusesOf(suite, text) {
  const excuses = new Map();
  let tests = [];
  let reason = '';
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('//')) continue;
    if (line.startsWith('  ')) {
      reason = `${reason} ${line.trim()}`.trim();
      for (const test of tests) excuses.set(test, reason);
      continue;
    }
    if (reason !== '') tests = [];
    reason = '';
    if (line.startsWith(`${suite} `)) tests.push(line.slice(suite.length + 1));
  }
  return excuses;
}

/** Whether a test has passed. */
export const passed = (outcomes, test) => outcomes.get(test)?.outcome === 'pass';

/** The exceptions, [{ test, message, reason }], and the tests that have a reason and are none: `stale`. */
export function exceptionsOf(peer, own, excuses) {
  const exceptions = [...peer.keys()]
    .filter((test) => passed(peer, test) && !passed(own, test))
    .map((test) => ({ test, message: own.get(test)?.message ?? 'did not run', reason: excuses.get(test) }));
  const stale = [...excuses.keys()].filter((test) => !exceptions.some((each) => each.test === test));
  return { exceptions, stale };
}
