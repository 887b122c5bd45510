// How long an answer is: what the handler says of it goes out, if it is true. If it turns out to be false, the client
// gets an error (500, or a connection that breaks off), and never a message that ends in the wrong place.

import { Response as FeatherResponse } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { Client, get, until } from '../support/http.js';
import { later, MEBIBYTE, pattern, ServerRig, stream } from './server-rig.js';

const PlatformResponse = Response; // serve() puts ours in its place
const MAKES = [FeatherResponse, PlatformResponse];
const HEAD = 'HEAD / HTTP/1.1\r\nHost: test\r\n\r\n';
const GET_1_0 = 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n';

/** The headers of an answer that says how long it is; `more` are others. */
const lengthOf = (length, more = {}) => ({ headers: { 'content-length': String(length), ...more } });

for (const host of hosts()) {
  const rig = new ServerRig('lengths', host);

  /** Asks, and then asks for something else on the same connection: the first answer must have ended where it said. */
  async function askTwice(request, options) {
    const client = await Client.open(rig.server.port);
    const { handler } = rig;
    const answer = await client.ask(request, options);
    rig.handler = () => new FeatherResponse('next');
    const next = await client.ask(get());
    rig.handler = handler;
    assert.equal([next.status, next.text], [200, 'next']);
    client.destroy();
    return answer;
  }

  /** The codes of what onError was told since the last time. */
  const reported = () => rig.errors.splice(0).map(({ code }) => code);

  /**
   * Fails unless `bytes` are an answer that was broken off: no 500, no second answer, no byte that the handler did not
   * send, and none beyond what the head says. What was not out when it broke off may be missing.
   */
  function checkCut(bytes, sent, length, why) {
    const [head, body = ''] = bytes.toString().split('\r\n\r\n');
    if (head === '') return; // not even the head was out
    assert.match(head, new RegExp(`^HTTP/1.1 200 OK\r\n(.*\r\n)*Content-Length: ${length}$`), why);
    assert.ok(body.length <= length && sent.startsWith(body), `${why}: ${bytes}`);
  }

  // --- HEAD ----------------------------------------------------------------------------------------------------------

  rig.check('HEAD says the length that the handler says', async () => {
    for (const make of MAKES) {
      for (const body of [null, '', () => stream(['hello', ' you'], 1), () => stream([])]) {
        for (const status of [200, 206, 404]) {
          rig.handler = () =>
            new make(typeof body === 'function' ? body() : body, { status, ...lengthOf(1234, { etag: '"1"' }) });
          const answer = await askTwice(HEAD, { isHead: true });
          assert.equal([answer.status, answer.headers['content-length'], answer.headers.etag], [status, '1234', '"1"']);
          assert.is(answer.headers['transfer-encoding'], undefined);
        }
      }
    }
  });

  rig.check('HEAD of a handler that makes no body, and says no length: nothing is said', async () => {
    for (const make of MAKES) {
      rig.handler = () => new make(null);
      assert.is((await askTwice(HEAD, { isHead: true })).headers['content-length'], undefined);
      assert.is((await askTwice(get())).headers['content-length'], '0');
    }
  });

  rig.check('HEAD of a stream whose length is said does not read it, and cancels it', async () => {
    for (const make of MAKES) {
      let pulls = 0;
      let cancelled = 0;
      const source = { pull: () => void pulls++, cancel: () => void cancelled++ };
      rig.handler = () => new make(new ReadableStream(source, { highWaterMark: 0 }), lengthOf(7));
      assert.is((await askTwice(HEAD, { isHead: true })).headers['content-length'], '7');
      assert.equal([pulls, cancelled], [0, 1]);
    }
  });

  rig.check('a HEAD that is refused gets no body', async () => {
    const client = await Client.open(rig.server.port);
    const answer = await client.ask('HEAD / HTTP/1.1\r\nHost: 1.2.3.4.5\r\n\r\n', { isHead: true });
    assert.is(answer.status, 400);
    assert.is((await client.rest()).length, 0);
    client.destroy();
  });

  // --- lengths that are true -----------------------------------------------------------------------------------------

  rig.check(
    'a stream whose length is said goes with that length, not in chunks; HTTP/1.0 keeps its connection',
    async () => {
      for (const make of MAKES) {
        for (const request of [get(), GET_1_0]) {
          for (const pauseMs of [undefined, 2]) {
            rig.handler = () => new make(stream(['one', '', 'two', 'three'], pauseMs), lengthOf(11));
            const answer = await askTwice(request);
            assert.equal([answer.headers['content-length'], answer.text], ['11', 'onetwothree']);
            assert.is(answer.headers['transfer-encoding'], undefined);
          }
        }
      }
    },
  );

  rig.check('a large one, and one of no bytes', async () => {
    const whole = pattern(5 * MEBIBYTE);
    const pieces = Array.from({ length: 80 }, (_, i) => whole.subarray(i * 65_536, (i + 1) * 65_536));
    for (const make of MAKES) {
      rig.handler = () => new make(stream(pieces), lengthOf(whole.length));
      const answer = await askTwice(get());
      assert.is(answer.headers['content-length'], String(whole.length));
      assert.ok(answer.body.equals(whole));
      rig.handler = () => new make(stream([], 5), lengthOf(0));
      assert.equal([(await askTwice(get())).headers['content-length']], ['0']);
    }
  });

  rig.check('the first bytes of such a stream arrive before it goes on', async () => {
    let go;
    const gate = new Promise((resolve) => {
      go = resolve;
    });
    const source = {
      async start(controller) {
        controller.enqueue(Buffer.from('early'));
        await gate;
        controller.enqueue(Buffer.from('late'));
        controller.close();
      },
    };
    rig.handler = () => new FeatherResponse(new ReadableStream(source), lengthOf(9));
    const client = await Client.open(rig.server.port);
    client.write(get());
    await until(() => client.pending.includes('early'), 'the first bytes');
    go();
    assert.is((await client.response()).text, 'earlylate');
    client.destroy();
  });

  rig.check('ranges: 206, from a string, from bytes, from a stream', async () => {
    const whole = pattern(1000);
    const bodies = {
      text: (from, to) => 'x'.repeat(to - from),
      bytes: (from, to) => whole.subarray(from, to),
      stream: (from, to) => stream([whole.subarray(from, to - 1), whole.subarray(to - 1, to)], 1),
    };
    for (const make of MAKES) {
      for (const [name, body] of Object.entries(bodies)) {
        rig.handler = (request) => {
          const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.header('range')).map(Number);
          const headers = { 'content-range': `bytes ${from}-${to}/1000`, 'content-length': String(to + 1 - from) };
          return new make(body(from, to + 1), { status: 206, headers });
        };
        const answer = await askTwice(get('/', 'Range: bytes=500-599\r\n'));
        assert.equal([answer.status, answer.headers['content-length']], [206, '100'], name);
        assert.is(answer.headers['content-range'], 'bytes 500-599/1000');
        if (name !== 'text') assert.ok(answer.body.equals(whole.subarray(500, 600)));
      }
    }
  });

  rig.check('204 has no length, 205 has the length 0, 304 that of the handler; none has a body', async () => {
    const said = { 204: ['0', undefined], 205: ['0', '0'], 304: ['1234', '1234'] };
    for (const [status, [given, wanted]] of Object.entries(said)) {
      const makes = {
        nothing: (init) => new FeatherResponse(null, init),
        platform: (init) => new PlatformResponse(null, init),
      };
      for (const [name, make] of Object.entries(makes)) {
        for (const request of [get(), HEAD]) {
          for (const headers of [{}, { 'content-length': given }]) {
            rig.handler = () => make({ status: Number(status), headers });
            const answer = await askTwice(request, { isHead: request === HEAD });
            const length = status === '304' && !('content-length' in headers) ? undefined : wanted;
            assert.equal([answer.status, answer.headers['content-length']], [Number(status), length], name);
            assert.is(answer.headers['transfer-encoding'], undefined, name);
          }
        }
      }
    }
  });

  // --- and that are not ----------------------------------------------------------------------------------------------

  rig.check(
    'a length that is no number of bytes, or that the body has not, is 500 and an error of the handler',
    async () => {
      const bodies = {
        text: () => 'hello',
        'long text': () => 'hello'.repeat(2000),
        bytes: () => Buffer.from('hello'),
        stream: () => stream(['hello']),
        'slow stream': () => stream(['hello'], 1),
      };
      const malformed = ['', 'abc', '-5', '+5', '5.0', '5e0', '0x5', '5, 5', '5 5', '9007199254740992'];
      for (const make of MAKES) {
        for (const [name, body] of Object.entries(bodies)) {
          const known = name === 'slow stream' ? [] : ['4', '6', '10001'];
          for (const length of [...malformed, ...known]) {
            rig.handler = () => new make(body(), lengthOf(length));
            const answer = await askTwice(get());
            const told = reported();
            assert.equal([answer.status, told], [500, ['FEATHERSTAR_OPTION']], `${make.name} ${name} ${length}`);
          }
        }
        for (const status of [204, 205]) {
          for (const length of ['5', 'abc']) {
            rig.handler = () => new make(null, { status, ...lengthOf(length) });
            assert.equal([(await askTwice(get())).status, reported()], [500, ['FEATHERSTAR_OPTION']]);
          }
        }
        rig.handler = () => new make(null, { status: 304, ...lengthOf('abc') });
        assert.equal([(await askTwice(get())).status, reported()], [500, ['FEATHERSTAR_OPTION']]);
        rig.handler = () => new make(null, lengthOf(5));
        assert.equal([(await askTwice(get())).status, reported()], [500, ['FEATHERSTAR_OPTION']]);
      }
      rig.handler = () => new FeatherResponse('hello', lengthOf(6));
      const head = await askTwice(HEAD, { isHead: true });
      assert.equal([head.status, reported()], [500, ['FEATHERSTAR_OPTION']]);
      const twice = [5, 5].map((length) => ['content-length', String(length)]);
      rig.handler = () => new FeatherResponse('hello', { headers: twice });
      assert.equal([(await askTwice(get())).status, reported()], [500, ['FEATHERSTAR_OPTION']]);
    },
  );

  rig.check(
    'a stream that turns out shorter or longer than it said breaks the connection, and is reported',
    async () => {
      const cases = [
        [['one', 'two'], 7, 'too short'],
        [['one', 'two'], 5, 'too long, in the middle of a chunk'],
        [['one', 'two', '!'], 6, 'too long, by a chunk'],
        [[], 1, 'empty'],
      ];
      for (const make of MAKES) {
        for (const [chunks, length, why] of cases) {
          for (const request of [get() + get(), GET_1_0]) {
            let cancelled = 0;
            rig.handler = () => {
              const body = stream(chunks, 2);
              const reader = body.getReader();
              const pull = async (controller) => {
                const { done, value } = await reader.read();
                if (done) controller.close();
                else controller.enqueue(value);
              };
              return new make(new ReadableStream({ pull, cancel: () => void cancelled++ }), lengthOf(length));
            };
            const client = await Client.open(rig.server.port);
            client.write(request);
            checkCut(await client.rest(), chunks.join(''), length, why);
            assert.equal(reported(), ['FEATHERSTAR_OPTION'], why);
            assert.is(cancelled, chunks.join('').length > length ? 1 : 0, why);
            client.destroy();
          }
        }
      }
    },
  );

  rig.check(
    'a stream that fails before it has all that it said, and one whose source never says that it stopped',
    async () => {
      for (const make of MAKES) {
        rig.handler = () => {
          let pulls = 0;
          const pull = async (controller) => {
            await later(1);
            if (pulls++ === 1) throw new Error('broken');
            controller.enqueue(Buffer.from('half'));
          };
          return new make(new ReadableStream({ pull }), lengthOf(8));
        };
        let client = await Client.open(rig.server.port);
        client.write(get());
        checkCut(await client.rest(), 'half', 8, 'it fails');
        assert.equal(
          rig.errors.splice(0).map(({ message }) => message),
          ['broken'],
        );
        client.destroy();

        const pull = (controller) => later(1).then(() => controller.enqueue(Buffer.from('more')));
        rig.handler = () => new make(new ReadableStream({ pull, cancel: () => new Promise(() => {}) }), lengthOf(9));
        client = await Client.open(rig.server.port);
        client.write(get());
        checkCut(await client.rest(), 'moremore', 9, 'it never stops');
        assert.equal(reported(), ['FEATHERSTAR_OPTION']);
        client.destroy();
      }
    },
  );

  // --- chunks of a stream --------------------------------------------------------------------------------------------

  rig.check('a stream of text and of buffers is sent as bytes, at once or in time', async () => {
    const bytes = Buffer.from('[bytes]');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const chunks = ['täxt ', 'more', view, new Uint8Array([33, 33]).buffer, new Uint16Array([0x2e2e])];
    const expected = 'täxt more[bytes]!!..';
    for (const make of MAKES) {
      for (const pauseMs of [0, 1]) {
        rig.handler = () => {
          const left = [...chunks];
          const pull = async (controller) => {
            if (pauseMs !== 0) await later(pauseMs);
            if (left.length === 0) controller.close();
            else controller.enqueue(left.shift());
          };
          return new make(new ReadableStream({ pull }));
        };
        const answer = await askTwice(get());
        assert.equal([answer.status, answer.text], [200, expected]);
      }
      rig.handler = () => new make(stream(['one'], 1), lengthOf(3));
      assert.is((await askTwice(get())).text, 'one');
    }
  });

  rig.check('a stream of anything else is an error of the handler', async () => {
    for (const make of MAKES) {
      for (const chunk of [7, { length: 1 }, undefined]) {
        const source = { start: (controller) => controller.enqueue(chunk) };
        assert.is((await rig.answerOf(() => new make(new ReadableStream(source)))).status, 500);
        assert.equal(reported(), ['FEATHERSTAR_OPTION']);
      }
    }
  });

  rig.check('`transfer-encoding: chunked` keeps a stream in chunks that could have a length', async () => {
    for (const make of MAKES) {
      for (const chunks of [[], ['all']]) {
        for (const [headers, coding, length] of [
          [{ 'Transfer-Encoding': 'Chunked' }, 'chunked', undefined],
          [{ 'transfer-encoding': 'gzip' }, undefined, String(chunks.join('').length)],
          [{}, undefined, String(chunks.join('').length)],
        ]) {
          rig.handler = () => new make(stream(chunks), { headers });
          const answer = await askTwice(get());
          assert.equal([answer.headers['transfer-encoding'], answer.headers['content-length']], [coding, length]);
          assert.is(answer.text, chunks.join(''));
        }
      }
      rig.handler = () => new make(stream(['all']), lengthOf(3, { 'transfer-encoding': 'chunked' }));
      const answer = await askTwice(get());
      assert.equal([answer.headers['transfer-encoding'], answer.headers['content-length']], [undefined, '3']);
    }
  });

  rig.run();
}
