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

/** Adds the outcome of a test. If there is a test of this name already, the new one gets a number. */
export function addOutcome(outcomes, name, outcome, message) {
  let unique = name;
  for (let n = 2; outcomes.has(unique); n++) unique = `${name} #${n}`;
  outcomes.set(unique, { outcome, message });
}

/** Whether a test has passed. */
export const passed = (outcomes, test) => outcomes.get(test)?.outcome === 'pass';

/** Whether an excuse is for this test. A `*` in it stands for any text. */
function covers(excuse, test) {
  const parts = excuse.split('*').map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(test);
}

/** The exceptions, [{ test, message, reason }], and the excuses that are for none of them: `stale`. */
export function exceptionsOf(peer, own, excuses) {
  const reasonOf = (test) => [...excuses].find(([excuse]) => covers(excuse, test))?.[1];
  const exceptions = [...peer.keys()]
    .filter((test) => passed(peer, test) && !passed(own, test))
    .map((test) => ({ test, message: own.get(test)?.message ?? 'did not run', reason: reasonOf(test) }));
  const stale = [...excuses.keys()].filter((excuse) => !exceptions.some(({ test }) => covers(excuse, test)));
  return { exceptions, stale };
}
