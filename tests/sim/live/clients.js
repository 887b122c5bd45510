// Clients of the live mode's servers that behave well: they ask, read the whole answer, and check it. While things go
// wrong they give up after a while; when the world has healed an answer must come.

import { dribble, Reader, Refused, requestText } from './http.js';
import { chance, draw, drawn, ledger, pause, sometimes, track } from './ledger.js';
import { ANSWER_MS, PORT } from './plan.js';
import { LARGE_BYTES } from './server.js';

/** More than may wait for a handler that reads: receiving pauses. */
const LONG_BYTES = 90_000;
const PATIENCE_MS = 1000;
const RETRY_MS = 20;

export function dial(timeoutMs) {
  const { world, plan } = ledger;
  const where = plan.hosts === undefined ? {} : { hostname: 'servers', from: 'clients' };
  return world.connect({ port: PORT, timeoutMs, ...where });
}

/** A request, and what must be answered. */
function question() {
  const kind = draw(8);
  if (kind === 0) return { text: requestText('GET', '/fast'), body: 'fast' };
  if (kind === 1) return { text: requestText('GET', drawn(['/call', '/call-with-a-payload'])), body: 'seen true' };
  if (kind === 2) return { text: requestText('GET', '/file'), body: 'f'.repeat(3000) };
  if (kind === 3) return { text: requestText('GET', '/lock'), body: 'had it' };
  if (kind === 4) return { text: requestText('GET', '/poll'), body: 'polled' };
  if (kind === 5) return { text: requestText('GET', '/large'), body: 'l'.repeat(LARGE_BYTES) };
  if (kind === 6) {
    const { http, isRoomy } = ledger.plan;
    const isLong = isRoomy && chance(0.3);
    const body = 'x'.repeat(Math.min(isLong ? LONG_BYTES : drawn([10, 200, 2000]), http.bodyBytes));
    sometimes(isLong ? 'a body that waits' : 'one-byte chunks');
    return { text: requestText('POST', '/late', body, isLong ? 1000 : 1), body: `${body.length}` };
  }
  const sizes = [0, 1, 900, 6000];
  if (ledger.plan.isRoomy) sizes.push(LONG_BYTES);
  const body = 'e'.repeat(Math.min(drawn(sizes), ledger.plan.http.bodyBytes));
  return { text: requestText('POST', '/echo', body, drawn([0, 1000])), body };
}

/** Asks `count` questions on one connection, one by one, or all at once. */
async function converse(client, count) {
  const { plan } = ledger;
  const reader = new Reader(client);
  const questions = Array.from({ length: count }, question);
  const isPipelined = count > 1 && chance(0.5);
  const ask = ({ text }) => dribble(client, text, drawn([1, 1, 2, 5, 40]));
  const asking = isPipelined ? ask({ text: questions.map(({ text }) => text).join('') }) : undefined;
  asking?.catch(() => {}); // the answers say why
  if (isPipelined) sometimes('pipelined');
  for (const each of questions) {
    const writing = isPipelined ? undefined : ask(each);
    writing?.catch(() => {});
    const { status, body } = await reader.response();
    if (status === 200 && body !== each.body) throw new Error(`not the answer: ${body.slice(0, 60)}`);
    if (status !== 200) {
      sometimes(`status ${status}`);
      throw new Refused(`status ${status}`);
    }
    sometimes('answered');
  }
  return plan;
}

/** One attempt. An answer that does not come in time is a failure where the world has healed. */
async function attempt(count) {
  let client;
  const giveUp = ledger.hasHealed ? undefined : setTimeout(() => client?.close(), PATIENCE_MS);
  try {
    const dialled = dial(PATIENCE_MS);
    client = ledger.hasHealed ? await ledger.world.within(ANSWER_MS, 'a connect', dialled) : await dialled;
    const conversation = converse(client, count);
    if (ledger.hasHealed)
      await ledger.world.within(ANSWER_MS, 'the answer to a client that behaves well', conversation);
    else await conversation;
    return true;
  } catch (error) {
    if (error instanceof Refused || error.code === 'FEATHERSTAR_SYSTEM') return false;
    throw error;
  } finally {
    clearTimeout(giveUp);
    client?.close();
  }
}

/** A user who comes again, while things go wrong. */
export async function visit(times) {
  for (let i = 0; i < times && !ledger.hasHealed; i++) {
    await pause(draw(10));
    await track('a visit', attempt(1 + draw(3)));
  }
}

/** A user in a world that has healed: he is answered, if not at once, then when he asks again. */
export async function mustBeServed() {
  const { world, plan } = ledger;
  const served = (async () => {
    while (!(await attempt(1 + draw(2)))) await pause(RETRY_MS);
  })();
  await world.within(plan.boundMs, 'a client that behaves well, and asks again,', served);
}
