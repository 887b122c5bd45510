// Draws the values that memory.js reads, on canvases for each shard and for the rings between them.

const INK = '#2b2d42';
const FAINT = '#e3e5ee';
const WARM = '#e07a3f';
const LEVEL_NAMES = ['512 ns', '33 µs', '2 ms', '134 ms', '8.6 s', '9 min', '10 h', '26 d'];
export const TASKS = 256;

function prepare(canvas) {
  const context = canvas.getContext('2d');
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.font = '12px system-ui, sans-serif';
  context.textBaseline = 'middle';
  return context;
}

/** Slots in rows: `colour(i)` of each. */
function cells(context, x, y, count, perRow, size, colour) {
  for (let i = 0; i < count; i++) {
    context.fillStyle = colour(i);
    context.fillRect(x + (i % perRow) * size, y + Math.floor(i / perRow) * size, size - 1, size - 1);
  }
}

/** Eight levels of 64 slots. Dark: where the hand stands; warm: a timer waits there. */
export function drawWheel(canvas, { elapsed, occupied, pending }) {
  const context = prepare(canvas);
  occupied.forEach((bits, level) => {
    const hand = Number((elapsed >> BigInt(6 * level)) & 63n);
    const y = 8 + level * 13;
    context.fillStyle = INK;
    context.fillText(LEVEL_NAMES[level], 0, y + 5);
    cells(context, 52, y, 64, 64, 6, (slot) => {
      if ((bits >> BigInt(slot)) & 1n) return WARM;
      return slot === hand ? INK : FAINT;
    });
  });
  context.fillStyle = INK;
  context.fillText(`${pending} timers`, 52, 8 + 8 * 13 + 8);
}

export function drawTasks(canvas, isTaken, live) {
  const context = prepare(canvas);
  cells(context, 0, 0, TASKS, 64, 7, (i) => (isTaken[i] ? WARM : FAINT));
  context.fillStyle = INK;
  context.fillText(`${live} in the table`, 0, 42);
}

/** A ring as a row of slots: warm slots are between its reader and its writer. */
export function drawRing(canvas, { head, tail, slots }) {
  const context = prepare(canvas);
  const held = (tail - head) >>> 0;
  const size = Math.floor(canvas.width / slots);
  cells(context, 0, 0, slots, slots, size, (slot) => (((slot - head) >>> 0) % slots < held ? WARM : FAINT));
  context.fillStyle = INK;
  context.fillText(`${held} of ${slots} slots hold a message; ${head} were read`, 0, size + 10);
}
