// Response and Headers of featherstar, and those of the platform: runs the same operations on both.
//
// Next: web-classes.test.js.

import { Response as FeatherResponse } from 'featherstar/http';
import * as assert from 'uvu/assert';

export const FeatherHeaders = new FeatherResponse().headers.constructor;
export const OURS = { Response: FeatherResponse, Headers: FeatherHeaders };
export const THEIRS = { Response, Headers };

export const bytes = (text) => new TextEncoder().encode(text);
export const chunks = (...parts) =>
  new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });
export const read = async (stream) => {
  let text = '';
  for await (const part of stream) text += Buffer.from(part).toString('latin1');
  return text;
};

/** Returns the result in a form that can be compared, or the class of the error. */
async function outcomeOf(run, classes) {
  try {
    return { value: shown(await run(classes)) };
  } catch (error) {
    return { error: error instanceof DOMException ? `DOMException ${error.name}` : error.constructor.name };
  }
}

export function shown(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value))
    return [value.constructor.name, Buffer.from(value).toString('latin1')];
  if (value instanceof Blob) return ['Blob', value.size, value.type];
  if (value instanceof FormData) return ['FormData', ...value];
  if (Array.isArray(value)) return value.map(shown);
  if (value instanceof Response || value instanceof FeatherResponse)
    return {
      ...pick(value, ['type', 'url', 'redirected', 'status', 'ok', 'statusText', 'bodyUsed']),
      headers: [...value.headers],
      body: value.body instanceof ReadableStream ? 'stream' : value.body,
    };
  return value;
}

const pick = (object, names) => Object.fromEntries(names.map((name) => [name, object[name]]));

/** Runs each case with both. */
export async function compare(cases) {
  for (const [name, run] of Object.entries(cases))
    assert.equal(await outcomeOf(run, OURS), await outcomeOf(run, THEIRS), name);
}
