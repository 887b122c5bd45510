// A small stand-in for testharness.js, the framework of the web platform tests: `testharness()` returns the functions
// that a test file uses, and a promise of its results. It knows what the tests of fetch/api need, and no more.
//
// Tests run one after the other, promise_test() and async_test() with a time limit. A test that wants the network or a
// document throws Elsewhere, and counts as skipped: no server and no page are behind it.
//
// Next: wpt-file.js, which runs one file with it.

const TEST_TIMEOUT_MS = 5_000;

/** A test needs something that only a browser or a web server has. */
export class Elsewhere extends Error {}

class AssertionError extends Error {}

/** A value as text, short enough for a line. */
function show(value) {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`;
  return Object.prototype.toString.call(value);
}

function check(holds, what, description) {
  if (!holds) throw new AssertionError(description === undefined ? what : `${description}: ${what}`);
}

function checkThrown(error, ErrorClass, description) {
  const got = `${error?.constructor?.name ?? show(error)}: ${error?.message}`;
  const holds = error?.constructor === ErrorClass && error.name === ErrorClass.name;
  check(holds, `${ErrorClass.name} was expected, got ${got}`, description);
}

function checkDomError(error, name, description) {
  check(
    error instanceof DOMException && error.name === name,
    `DOMException ${name} was expected, got ${error}`,
    description,
  );
}

function thrownBy(run, description) {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new AssertionError(`${description ?? ''}: nothing was thrown`);
}

async function rejectionOf(promise, description) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new AssertionError(`${description ?? ''}: the promise did not reject`);
}

const ASSERTIONS = {
  assert_true: (value, description) => check(value === true, `true was expected, got ${show(value)}`, description),
  assert_false: (value, description) => check(value === false, `false was expected, got ${show(value)}`, description),
  assert_equals(actual, expected, description) {
    check(Object.is(actual, expected), `${show(expected)} was expected, got ${show(actual)}`, description);
  },
  assert_not_equals: (actual, other, description) =>
    check(!Object.is(actual, other), `got ${show(actual)}`, description),
  assert_array_equals(actual, expected, description) {
    const same = actual?.length === expected.length && [...expected].every((value, i) => Object.is(actual[i], value));
    check(
      same,
      `${show([...expected])} was expected, got ${show(actual?.length === undefined ? actual : [...actual])}`,
      description,
    );
  },
  assert_in_array: (actual, list, description) => check(list.includes(actual), `got ${show(actual)}`, description),
  assert_regexp_match: (text, pattern, description) => check(pattern.test(text), `got ${show(text)}`, description),
  assert_class_string(value, name, description) {
    check(show(Object(value)) === `[object ${name}]`, `[object ${name}] was expected, got ${show(value)}`, description);
  },
  assert_own_property(value, name, description) {
    check(Object.hasOwn(value, name), `no property ${show(name)}`, description);
  },
  assert_unreached: (description) => check(false, 'this must not be reached', description),
  assert_throws_js(ErrorClass, run, description) {
    checkThrown(thrownBy(run, description), ErrorClass, description);
  },
  assert_throws_dom: (name, run, description) => checkDomError(thrownBy(run, description), name, description),
  assert_throws_exactly(value, run, description) {
    check(thrownBy(run, description) === value, 'another value was thrown', description);
  },
  async promise_rejects_js(_test, ErrorClass, promise, description) {
    checkThrown(await rejectionOf(promise, description), ErrorClass, description);
  },
  async promise_rejects_dom(_test, name, promise, description) {
    checkDomError(await rejectionOf(promise, description), name, description);
  },
  async promise_rejects_exactly(_test, value, promise, description) {
    check((await rejectionOf(promise, description)) === value, 'another value was the reason', description);
  },
};

/** The object that a test function gets. `done` settles an async_test(). */
class Test {
  cleanups = [];
  finished = new Promise((resolve, reject) => {
    this.done = resolve;
    this.fail = reject;
  });

  step = (run, self, ...args) => {
    try {
      return run.apply(self ?? this, args);
    } catch (error) {
      this.fail(error);
    }
  };
  step_func =
    (run) =>
    (...args) =>
      this.step(run, this, ...args);
  step_func_done =
    (run) =>
    (...args) => {
      if (run !== undefined) this.step(run, this, ...args);
      this.done();
    };
  unreached_func = (description) => this.step_func(() => ASSERTIONS.assert_unreached(description));
  step_timeout = (run, ms, ...args) => setTimeout(this.step_func(run), ms, ...args);
  add_cleanup = (run) => this.cleanups.push(run);
}

async function inTime(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new AssertionError('timed out')), TEST_TIMEOUT_MS);
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether an error says that a test needs a page: an undefined global of a window. */
const needsPage = (error) =>
  error instanceof ReferenceError && /^(document|XMLHttpRequest|frames) /.test(error.message);

/**
 * The functions of the harness, and `results()`, which resolves with [{ name, outcome, message }] once all tests that
 * were defined have run. `outcome` is 'pass', 'fail' or 'skip'.
 */
export function testharness() {
  const results = [];
  const completions = []; // functions that undo what a test did to all objects
  let last = Promise.resolve();
  const run = (name, body) => {
    last = last.then(async () => {
      const test = new Test();
      test.finished.catch(() => undefined); // the body awaits it if it is an async_test()
      try {
        await inTime(body(test));
        results.push({ name, outcome: 'pass' });
      } catch (error) {
        const outcome = error instanceof Elsewhere || needsPage(error) ? 'skip' : 'fail';
        results.push({ name, outcome, message: `${error?.name ?? 'thrown'}: ${error?.message ?? show(error)}` });
      }
      for (const undo of completions.splice(0)) undo();
      for (const cleanup of test.cleanups) await cleanup();
    });
  };
  const functions = {
    ...ASSERTIONS,
    test: (body, name) => run(name, async (test) => body.call(test, test)),
    promise_test: (body, name) => run(name, async (test) => body.call(test, test)),
    async_test: (body, name) =>
      run(name, (test) => {
        test.step(body, test, test);
        return test.finished;
      }),
    setup() {},
    done() {},
    add_completion_callback: (run) => completions.push(run),
    step_timeout: setTimeout,
    format_value: show,
  };
  const settled = async () => {
    for (let seen; seen !== last; ) {
      seen = last;
      await seen; // a test may define more
    }
    return results;
  };
  return { functions, results: settled };
}
