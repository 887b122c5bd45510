// Errors on their way through a message port: what they keep, what they lose, and that any thrown value arrives.

import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { packError, unpackError } from '../../dist/host/base/error-parts.js';
import { ERROR_KINDS, FeatherstarError, systemError } from '../../dist/host/base/errors.js';

const test = suite('error parts');
const STACK_CHARS = 4096;
const { port1, port2 } = new MessageChannel();
test.after(() => port1.close());

function across(thrown) {
  port1.postMessage(packError(thrown));
  return unpackError(receiveMessageOnPort(port2).message);
}

test('an error keeps its type, name, text, stack, code and errno', () => {
  const sent = Object.assign(new RangeError('far'), { code: 'FAR', errno: -5, syscall: 'read', errnoName: 'EIO' });
  const got = across(sent);
  assert.ok(got instanceof RangeError);
  for (const key of ['name', 'message', 'stack', 'code', 'errno', 'syscall', 'errnoName']) {
    assert.is(got[key], sent[key], key);
  }
  assert.equal(Object.keys(got), Object.keys(sent), 'name and stack are not enumerable');
  class OwnError extends TypeError {
    name = 'OwnError';
  }
  assert.is(across(new OwnError('x')).name, 'OwnError');
  assert.is(across(Object.assign(new Error('x'), { code: 5 })).code, 5);
  assert.is(across(Object.assign(new Error('x'), { code: () => 5 })).code, undefined);
});

test('a FeatherstarError stays one, with its kind', () => {
  const sent = systemError('bind', 98, '127.0.0.1:80');
  const got = across(sent);
  assert.ok(FeatherstarError.is(got));
  for (const key of ['code', 'kind', 'errno', 'syscall', 'errnoName', 'message']) assert.is(got[key], sent[key], key);
});

test('a kind follows from the code, and from an errno that the peer or a limit has caused', () => {
  const kind = (errno) => systemError('x', errno).kind;
  assert.equal([1, 13, 98].map(kind), ['system', 'system', 'system']);
  assert.equal([32, 103, 104, 110, 111].map(kind), Array(5).fill('peer'));
  assert.equal(
    [23, 24, 28, 105, 122].map((errno) => kind(-errno)),
    Array(5).fill('limit'),
  );
  for (const [code, kind] of Object.entries(ERROR_KINDS)) assert.is(new FeatherstarError(code, 'x').kind, kind);
});

test('causes arrive as deep as they go, and so do the errors of an AggregateError', () => {
  const inner = new TypeError('inner');
  const got = across(new Error('outer', { cause: new FeatherstarError('FEATHERSTAR_MODULE', 'm', { cause: inner }) }));
  assert.equal([got.cause.code, got.cause.cause.name], ['FEATHERSTAR_MODULE', 'TypeError']);
  assert.not('cause' in across(new Error('none')));
  assert.ok('cause' in across(new Error('undefined', { cause: undefined })));
  assert.equal(across(new Error('data', { cause: { a: [1] } })).cause, { a: [1] });
  const all = across(new AggregateError([new RangeError('1'), 'two'], 'all'));
  assert.ok(all instanceof AggregateError);
  assert.equal([all.errors[0].name, all.errors[1]], ['RangeError', 'two']);
  const circle = new Error('circle');
  circle.cause = circle;
  assert.is(across(circle).cause.cause.message, 'circle');
});

test('a DOMException stays one', () => {
  const got = across(new DOMException('gone', 'AbortError'));
  assert.ok(got instanceof DOMException);
  assert.equal([got.name, got.message], ['AbortError', 'gone']);
});

test('a value that is no Error arrives as it is, and one that cannot be sent as its text', () => {
  assert.equal(across({ a: 1 }), { a: 1 });
  assert.is(across(undefined), undefined);
  assert.is(across(Symbol.for('x')), 'Symbol(x)');
  assert.is(across(Object.create(null, { f: { value: () => 1, enumerable: true } })), '[object Object]');
  assert.is(across(new Error('f', { cause: function send() {} })).cause, 'function send() {}');
  const sly = new Error('sly');
  Object.defineProperty(sly, 'message', {
    get() {
      throw new Error('no');
    },
  });
  assert.type(across(sly), 'string');
});

test('a stack is cut off', () => {
  const error = new Error('long');
  error.stack = 'x'.repeat(2 * STACK_CHARS);
  assert.is(across(error).stack.length, STACK_CHARS);
});

test.run();
