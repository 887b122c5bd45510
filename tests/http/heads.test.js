// core: both
// The templates of heads: when all places are taken, the oldest goes. (A server's answers look the same with templates
// and without, so that a cache which is full for ever does not show in them.)

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Heads } from '../../dist/host/http/heads.js';

const BASE = 1024;
const TEMPLATE_BYTES = 512;
const PLACES = 4;

function makeHeads() {
  const bytes = Buffer.alloc(BASE + PLACES * TEMPLATE_BYTES);
  const heads = new Heads({ bytes, core: { http_date() {} }, nowNs: 0 }, BASE, PLACES * TEMPLATE_BYTES);
  const textOf = ({ ptr, bytes: length }) => bytes.latin1Slice(ptr, ptr + length);
  return { heads, textOf };
}

test('there is a template for every kind, however many there were', () => {
  const { heads, textOf } = makeHeads();
  const places = new Set();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 3 * PLACES; i++) {
      const template = heads.template(200 + (i % 2), `text/${i}`, 0);
      assert.match(textOf(template), new RegExp(`^HTTP/1.1 20${i % 2} \\w+\r\nContent-Type: text/${i}\r\n`));
      assert.is(heads.template(200 + (i % 2), `text/${i}`, 0), template, 'made once');
      places.add(template.ptr);
    }
  }
  assert.is(places.size, PLACES);
});

test('as many kinds as there are places stay where they are', () => {
  const { heads } = makeHeads();
  const kinds = Array.from({ length: PLACES }, (_, i) => heads.template(200, `text/${i}`, 0));
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < PLACES; i++) assert.is(heads.template(200, `text/${i}`, 0), kinds[i]);
  }
});

test('a head that is longer than a place has no template, and takes none away', () => {
  const { heads } = makeHeads();
  const template = heads.template(200, 'text/plain', 0);
  for (let i = 0; i < 2 * PLACES; i++)
    assert.is(heads.template(200, `text/${'x'.repeat(TEMPLATE_BYTES + i)}`, 0), undefined);
  assert.is(heads.template(200, 'text/plain', 0), template);
});

test.run();
