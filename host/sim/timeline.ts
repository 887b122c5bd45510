// A run as one HTML file: a lane for each shard, events as marks, messages and bytes as arrows. The file needs nothing
// else. The wheel zooms, dragging moves, the field searches, a click shows an event.
//
// Next: search-child.ts.

import { INNER } from './trace.js';
import type { World } from './world.js';

const COLORS = {
  call: '#2563eb',
  reply: '#60a5fa',
  arrive: '#059669',
  drop: '#dc2626',
  disk: '#b45309',
  sync: '#b45309',
  name: '#b45309',
  fault: '#dc2626',
  slow: '#dc2626',
  resend: '#dc2626',
  held: '#dc2626',
  stall: '#dc2626',
  crash: '#dc2626',
  die: '#dc2626',
  reset: '#dc2626',
  freeze: '#7c3aed',
  thaw: '#7c3aed',
  note: '#111827',
};

/** The file's text. `title`: what went wrong. */
export function timelineOf(title: string, worlds: readonly World[]): string {
  const runs = worlds.map(({ trace, places }) => ({
    lanes: ['world', ...places.map(({ index }) => trace.nameOf(index))],
    events: trace
      .events()
      .filter(({ kind }) => !INNER.has(kind))
      .map(({ index, kind, atUs, shard, text, peer, sentUs }) => [index, kind, atUs, shard, text, peer, sentUs]),
  }));
  const data = JSON.stringify({ title, runs, colors: COLORS }).replaceAll('<', '\\u003c');
  return `${HEAD}<script>const data = ${data};\n${SCRIPT}</script>\n`;
}

const HEAD = `<!doctype html><meta charset="utf-8"><title>featherstar: timeline</title>
<style>
body { margin: 0; font: 13px system-ui, sans-serif; color: #111827; }
header { padding: 8px 12px; display: flex; gap: 12px; align-items: baseline; border-bottom: 1px solid #d1d5db; }
h1 { font-size: 14px; margin: 0; flex: 1; white-space: pre-wrap; max-height: 4em; overflow: auto; }
canvas { display: block; width: 100vw; cursor: grab; }
pre { margin: 0; padding: 8px 12px; font-size: 12px; height: 55vh; overflow: auto; border-top: 1px solid #d1d5db; }
pre div:hover, .shown { background: #fef3c7; }
</style>
<header>
<h1 id="title"></h1><select id="run"></select><input id="find" type="search" placeholder="search events">
</header>
<canvas id="lanes"></canvas><pre id="list"></pre>
`;

const SCRIPT = `
const $ = (id) => document.getElementById(id);
const [canvas, list] = [$('lanes'), $('list')];
const pen = canvas.getContext('2d');
const LEFT = 120, TOP = 24, LANE = 56, NEAR = 6, SHOWN = 2000;
let run, from, to, chosen = -1;
$('title').textContent = data.title;
data.runs.forEach((_, i) => $('run').add(new Option('world ' + (i + 1), i)));
const found = () => $('find').value.toLowerCase();
const isFound = ([, kind, , , text]) => (kind + ' ' + text).toLowerCase().includes(found());
const x = (us) => LEFT + ((us - from) / (to - from)) * (canvas.clientWidth - LEFT);
const y = (shard) => TOP + (shard + 1.5) * LANE;
function show() {
  run = data.runs[Number($('run').value)] ?? { lanes: [], events: [] };
  const times = run.events.map((event) => event[2]);
  from = 0;
  to = Math.max(1, times.at(-1) ?? 1);
  draw();
}
function draw() {
  const [width, height] = [canvas.clientWidth, TOP + run.lanes.length * LANE];
  canvas.style.height = height + 'px';
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  pen.scale(devicePixelRatio, devicePixelRatio);
  pen.font = '12px system-ui';
  pen.fillStyle = '#6b7280';
  for (let i = 0; i <= 8; i++) {
    const us = from + ((to - from) * i) / 8;
    pen.fillText((us / 1000).toFixed(3) + ' ms', x(us), 14);
  }
  run.lanes.forEach((name, i) => {
    pen.fillStyle = '#111827';
    pen.fillText(name, 8, y(i - 1) + 4);
    pen.fillStyle = '#e5e7eb';
    pen.fillRect(LEFT, y(i - 1), width - LEFT, 1);
  });
  pen.save();
  pen.beginPath();
  pen.rect(LEFT, 0, width - LEFT, height);
  pen.clip();
  for (const event of run.events) {
    const [index, kind, us, shard, , peer, sentUs] = event;
    if (us < from || (sentUs ?? us) > to) continue;
    pen.globalAlpha = found() === '' || isFound(event) ? 1 : 0.12;
    pen.fillStyle = pen.strokeStyle = data.colors[kind] ?? '#6b7280';
    const isCall = kind === 'call' || kind === 'reply';
    if (peer !== undefined && peer !== null && peer !== shard) {
      const start = isCall ? [x(us), y(shard)] : [x(sentUs ?? us), y(peer)];
      const end = isCall ? [x(us) + 3, y(peer)] : [x(us), y(shard)];
      pen.beginPath();
      pen.moveTo(...start);
      pen.lineTo(...end);
      pen.stroke();
      pen.fillRect(end[0] - 2, end[1] - 2, 4, 4);
    }
    pen.beginPath();
    pen.arc(x(us), y(shard), index === chosen ? 6 : 3, 0, 7);
    pen.fill();
  }
  pen.restore();
  const shown = run.events.filter((event) => event[2] >= from && event[2] <= to && isFound(event)).slice(0, SHOWN);
  list.replaceChildren(...shown.map((event) => {
    const line = document.createElement('div');
    const [index, , us, shard, text] = event;
    const lane = run.lanes[shard + 1] ?? 'shard ' + shard;
    line.textContent = [String(index).padStart(7), (us / 1000).toFixed(3).padStart(10) + ' ms', lane, text].join('  ');
    if (index === chosen) line.className = 'shown';
    line.onclick = () => { chosen = index; draw(); };
    return line;
  }));
  list.querySelector('.shown')?.scrollIntoView({ block: 'center' });
}
canvas.addEventListener('wheel', (event) => {
  event.preventDefault();
  const at = from + ((event.offsetX - LEFT) / (canvas.clientWidth - LEFT)) * (to - from);
  const zoom = event.deltaY > 0 ? 1.25 : 0.8;
  [from, to] = [at - (at - from) * zoom, at + (to - at) * zoom];
  draw();
}, { passive: false });
let dragged;
canvas.onmousedown = (event) => { dragged = { x: event.offsetX, from, to, isMoved: false }; };
window.onmouseup = () => { dragged = undefined; };
canvas.onmousemove = (event) => {
  if (dragged === undefined) return;
  const us = ((event.offsetX - dragged.x) / (canvas.clientWidth - LEFT)) * (to - from);
  [from, to] = [dragged.from - us, dragged.to - us];
  draw();
};
canvas.onclick = (event) => {
  const far = ([, , us, shard]) => Math.hypot(x(us) - event.offsetX, y(shard) - event.offsetY);
  const near = run.events.filter((each) => far(each) < 2 * NEAR);
  if (near.length === 0) return;
  chosen = near[0][0];
  draw();
};
$('find').oninput = draw;
$('run').onchange = show;
window.onresize = draw;
show();
`;
