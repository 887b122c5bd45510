// The protocols of Redis and PostgreSQL, as far as scripted servers need them.
//
// Next: npm-libraries.js and hunt/.

/** Calls `run(words)` for each command of a client of Redis. */
export function readCommands(socket, run) {
  let text = '';
  socket.on('data', (part) => {
    text += part;
    for (;;) {
      const lines = text.split('\r\n');
      const count = Number(lines[0].slice(1));
      if (!(count > 0) || lines.length < 2 * count + 2) return;
      text = lines.slice(2 * count + 1).join('\r\n');
      run(Array.from({ length: count }, (_, i) => lines[2 * i + 2]));
    }
  });
}

/** Calls `run(type, body)` for each message of a client of PostgreSQL. The type of the first one is empty. */
export function readMessages(socket, run) {
  let bytes = Buffer.alloc(0);
  let hasStarted = false;
  socket.on('data', (part) => {
    bytes = Buffer.concat([bytes, part]);
    for (;;) {
      const at = hasStarted ? 1 : 0;
      if (bytes.length < at + 4 || bytes.length < at + bytes.readInt32BE(at)) return;
      const size = bytes.readInt32BE(at);
      const type = hasStarted ? String.fromCharCode(bytes[0]) : '';
      const body = bytes.subarray(at + 4, at + size);
      bytes = bytes.subarray(at + size);
      hasStarted = true;
      run(type, body);
    }
  });
}

function message(type, ...parts) {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const head = Buffer.alloc(5);
  head.write(type, 0);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const READY = message('Z', 'I');
const COLUMN = ['answer\0', [0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]];

/** The reply to a client that has connected. */
export const WELCOME = Buffer.concat([message('R', [0, 0, 0, 0]), READY]);

/** The text of a simple query. */
export const queryOf = (body) => body.toString('utf8', 0, body.length - 1);

/** The reply to a query: one row, whose column `answer` is the text. */
export function rowOf(text) {
  const row = message('D', [0, 1, 0, 0, 0, text.length], text);
  return Buffer.concat([message('T', [0, 1], ...COLUMN), row, message('C', 'SELECT 1\0'), READY]);
}

/** The reply to a query that fails. */
export const FAILURE = Buffer.concat([message('E', 'SERROR\0C42601\0Mthe query fails\0\0'), READY]);
