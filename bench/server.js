// The life of one contender in one round. It is started on its core, and its responses are checked before the
// measurement. Its CPU time is read from the kernel. Then it is stopped for good.
//
// Next: contest.js.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { BenchError, startPinned, stop } from './tools.js';

const START_TIMEOUT_MS = 10_000;
const ANSWER_TIMEOUT_MS = 2_000;
const TIME_WAIT = '06'; // as /proc/net/tcp spells it
const BODY = 'Hello, World!';
const TICK_NS = 1e9 / Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout);

/** The contender ended, never answered, or answered wrongly: the message is the reason that is printed. */
export class ContenderError extends Error {}

async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Starts a contender and resolves once it responds correctly, to { port, pid, stop() }. `check(port, contender)`
 * resolves with false while no server listens. Arguments may be a function of the port; otherwise `--port N` is added.
 */
export async function startServer(contender, core, check = answersRightly) {
  const port = await freePort();
  const args =
    typeof contender.args === 'function' ? contender.args(port) : [...contender.args, '--port', String(port)];
  const env = { ...process.env, ...contender.env };
  const child = startPinned(core, contender.command, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  let failure;
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr = (stderr + text).slice(-20_000);
  });
  child.once('error', (error) => {
    failure = error.message;
  });
  child.once('close', (code, signal) => {
    failure ??= `ended with ${signal ?? `code ${code}`}: ${firstError(stderr)}`;
  });
  try {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await check(port, contender))) {
      if (failure !== undefined) throw new ContenderError(failure);
      if (performance.now() > deadline) throw new ContenderError(`no answer within ${START_TIMEOUT_MS} ms`);
      await sleep(20);
    }
    refuseWrapper(child.pid);
  } catch (error) {
    await stop(child);
    throw error;
  }
  return { port, pid: child.pid, stop: () => stop(child), failure: () => failure };
}

function firstError(stderr) {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  return (lines.find((line) => /error/i.test(line)) ?? lines[0] ?? 'nothing on stderr').trim();
}

// --- is it the right answer? ----------------------------------------------------------------------------------------

/**
 * Two pipelined requests, or one if `pipelined` is false. As many correct responses, which have all lines of `headers`.
 * False while no server listens; throws if a response is wrong.
 */
export async function answersRightly(port, { headers = [], pipelined = true, isSecure = false }) {
  const requests = pipelined ? 2 : 1;
  const text = await ask(port, requests, isSecure);
  if (text === undefined) return false;
  let rest = text;
  for (let i = 0; i < requests; i++) rest = checkAnswer(rest, headers);
  if (rest !== '') throw new ContenderError(`sent too many responses: ${JSON.stringify(rest.slice(0, 80))}`);
  return true;
}

function ask(port, requests, isSecure) {
  return new Promise((resolve, reject) => {
    const where = { port, host: '127.0.0.1', rejectUnauthorized: false };
    const socket = isSecure ? connectTls(where) : connect(where);
    let text = '';
    const finish = (settle, value) => {
      socket.destroy();
      settle(value);
    };
    socket.setEncoding('latin1').setTimeout(ANSWER_TIMEOUT_MS);
    socket.once(isSecure ? 'secureConnect' : 'connect', () =>
      socket.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.repeat(requests)),
    );
    socket.on('data', (data) => {
      text += data;
      if (text.split(`\r\n\r\n${BODY}`).length > requests) finish(resolve, text);
    });
    socket.once('timeout', () => finish(reject, new ContenderError(`wrong or no answer: ${JSON.stringify(text)}`)));
    socket.once('end', () => finish(reject, new ContenderError(`closed the connection: ${JSON.stringify(text)}`)));
    socket.once('error', (error) => {
      if (error.code === 'ECONNREFUSED') finish(resolve, undefined);
      else finish(reject, new ContenderError(error.message));
    });
  });
}

/** Checks the first response in `text` and returns the text that follows it. */
function checkAnswer(text, more) {
  const headEnd = text.indexOf('\r\n\r\n');
  const [status, ...lines] = text.slice(0, headEnd).split('\r\n');
  const headers = new Map(lines.map((line) => [line.split(':')[0].toLowerCase(), line.slice(line.indexOf(':') + 1)]));
  const expect = (what, holds) => {
    if (!holds) throw new ContenderError(`wrong ${what} in ${JSON.stringify(text.slice(0, headEnd))}`);
  };
  expect('status', status === 'HTTP/1.1 200 OK');
  expect('Content-Length', headers.get('content-length')?.trim() === String(BODY.length));
  expect('Content-Type', headers.get('content-type')?.trim().startsWith('text/plain'));
  for (const line of more) {
    const [name, value] = line.split(': ');
    expect(name, headers.get(name.toLowerCase())?.trim() === value);
  }
  const date = headers.get('date')?.trim() ?? '';
  expect('Date', new Date(date).toUTCString() === date && Math.abs(Date.parse(date) - Date.now()) < 5_000);
  expect('body', text.startsWith(BODY, headEnd + 4));
  return text.slice(headEnd + 4 + BODY.length);
}

/**
 * How many more connections to `port` there have been than the `expected` ones, at least. wrk opens a new one when the
 * server closes or says `Connection: close`, and counts no error, so nobody else would tell. Each closed connection
 * leaves at most one TIME_WAIT, on the side that closed first.
 */
export function reconnects(port, expected) {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1);
  const sockets = lines.map((line) => line.trim().split(/\s+/)).filter(([, , , state]) => state === TIME_WAIT);
  const ours = sockets.filter(([, local, remote]) => local.endsWith(suffix) || remote.endsWith(suffix));
  return Math.max(0, ours.length - expected);
}

// --- CPU time -------------------------------------------------------------------------------------------------------

function refuseWrapper(pid) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  if (children !== '') throw new BenchError(`process ${pid} is a wrapper around ${children}: name the real binary`);
}

/** CPU time of a process so far: ns for each of its threads, and the coarse total that includes ended ones. */
export function cpuTime(pid) {
  const threads = new Map();
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    threads.set(tid, Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]));
  }
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
  return { threads, totalNs: (Number(fields[11]) + Number(fields[12])) * TICK_NS };
}

/** CPU time between two readings: the scheduler's own, to the nanosecond, unless a thread took its share with it. */
export function cpuBetween(before, after) {
  let ns = 0;
  for (const [tid, spent] of after.threads) ns += spent - (before.threads.get(tid) ?? 0);
  for (const tid of before.threads.keys()) if (!after.threads.has(tid)) return after.totalNs - before.totalNs;
  return ns;
}
