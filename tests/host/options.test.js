// The one way in which options are checked: an unknown name, a value outside its range, and what the texts say.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  checkBoolean,
  checkedLater,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOptions,
  checkShard,
  checkSignal,
  checkString,
  checkTimeout,
  checkUrl,
  integer,
  milliseconds,
  number,
  oneOf,
  signal,
  TIMEOUT_MAX_MS,
} from '../../dist/host/base/options.js';

const test = suite('options');

/** The text of the FEATHERSTAR_OPTION that `run` throws; undefined if it throws nothing. */
function refusal(run) {
  try {
    run();
  } catch (error) {
    assert.is(error.code, 'FEATHERSTAR_OPTION');
    return error.message;
  }
  return undefined;
}

const CHECKS = {
  port: integer(0, 65_535),
  share: number(0, 1),
  mode: oneOf('a', 'b', 'c'),
  signal,
  timeoutMs: milliseconds,
};

test('an object of options is returned as it is; each value is checked if it is given', () => {
  const options = { port: 80, share: 0.5, mode: 'b', signal: undefined, timeoutMs: 0 };
  assert.is(checkOptions(options, CHECKS), options);
  assert.equal(checkOptions({}, CHECKS), {});
  assert.is(
    refusal(() => checkOptions({ port: -1 }, CHECKS)),
    'port must be an integer from 0 to 65535, got -1',
  );
  assert.is(
    refusal(() => checkOptions({ port: null }, CHECKS)),
    'port must be an integer from 0 to 65535, got null',
  );
  assert.is(
    refusal(() => checkOptions({ share: Number.NaN }, CHECKS)),
    'share must be a number from 0 to 1, got NaN',
  );
  assert.is(
    refusal(() => checkOptions({ mode: 'd' }, CHECKS)),
    `mode must be 'a', 'b' or 'c', got "d"`,
  );
  assert.is(
    refusal(() => checkOptions({ signal: {} }, CHECKS)),
    'signal must be an AbortSignal, got object',
  );
});

test('an unknown name is refused, also one that every object has; nested options are named in full', () => {
  const known = 'Known options: port, share, mode, signal, timeoutMs';
  assert.is(
    refusal(() => checkOptions({ prot: 80 }, CHECKS)),
    `Unknown option "prot". ${known}`,
  );
  assert.is(
    refusal(() => checkOptions({ toString: 1 }, CHECKS)),
    `Unknown option "toString". ${known}`,
  );
  assert.is(
    refusal(() => checkOptions({ x: 1 }, { y: checkedLater }, 'limits')),
    'Unknown option "limits.x". Known options: y',
  );
  assert.match(
    refusal(() => checkOptions({ port: 'x' }, CHECKS, 'limits')),
    /^limits\.port must be .*, got "x"$/,
  );
  for (const value of [null, 5, 'text', undefined]) {
    assert.match(
      refusal(() => checkOptions(value, CHECKS)),
      /^options must be an object, got /,
    );
    assert.match(
      refusal(() => checkOptions(value, CHECKS, 'limits')),
      /^limits must be an object, got /,
    );
  }
});

test('each check takes the ends of its range and nothing outside', () => {
  const refused = [
    () => checkInteger('n', 0, 1, 9),
    () => checkInteger('n', 10, 1, 9),
    () => checkInteger('n', 1.5, 1, 9),
    () => checkInteger('n', '5', 1, 9),
    () => checkNumber('n', -0.1, 0, 1),
    () => checkNumber('n', 1.1, 0, 1),
    () => checkNumber('n', 5n, 0, 9),
    () => checkTimeout('ms', -1),
    () => checkTimeout('ms', TIMEOUT_MAX_MS + 1),
    () => checkTimeout('ms', Number.POSITIVE_INFINITY),
    () => checkTimeout('ms', 0.1, 0.5),
    () => checkShard(-1, 2),
    () => checkShard(2, 2),
    () => checkBoolean('flag', 1),
    () => checkFunction('fn', {}),
    () => checkString('text', 5),
    () => checkSignal({ aborted: false }),
    () => checkUrl('module', './module.js'),
    () => checkUrl('module', null),
  ];
  for (const run of refused) assert.type(refusal(run), 'string', String(run));
  assert.equal([checkInteger('n', 1, 1, 9), checkInteger('n', 9, 1, 9)], [1, 9]);
  assert.equal([checkNumber('n', 0, 0, 1), checkNumber('n', 1, 0, 1)], [0, 1]);
  assert.equal([checkTimeout('ms', 0), checkTimeout('ms', TIMEOUT_MAX_MS)], [0, TIMEOUT_MAX_MS]);
  assert.equal([checkShard(0, 2), checkShard(1, 2)], [0, 1]);
  assert.is(checkUrl('module', new URL('file:///a.js')), 'file:///a.js');
  assert.is(checkSignal(undefined), undefined);
});

test.run();
