// The page: starts the runtime, connects functions of its module with buttons, and reads the memory once a frame.

import { drawRing, drawTasks, drawWheel, TASKS } from './draw.js';
import { BrowserRuntime } from './featherstar/host/browser/index.js';
import { Watch } from './memory.js';

const SHARDS = 2;
const LIMITS = { ringSlots: 64, creditCount: 48 }; // small enough to see them fill
const BUTTONS = {
  flood: [0, 'flood', 2000],
  back: [1, 'flood', 2000],
  sleep: [0, 'sleepers', 400],
  tasks: [1, 'tasks', 120, 400],
  stall: [1, 'stall', 700],
};
const byId = (id) => document.getElementById(id);

function say(text) {
  byId('said').textContent = text;
}

function draw(watch, before) {
  const now = performance.now();
  const counts = Array.from({ length: SHARDS }, (_, shard) => watch.counters(shard));
  const rings = watch.rings(0, 1); // undefined: they move too fast; the last picture stays
  for (let shard = 0; shard < SHARDS; shard++) {
    if (rings !== undefined) drawRing(byId(`ring${shard}`), rings[shard]);
    drawWheel(byId(`wheel${shard}`), watch.wheel(shard));
    drawTasks(byId(`tasks${shard}`), watch.tasks(shard, TASKS), watch.liveTasks(shard));
    byId(`lamp${shard}`).className = watch.sleeping(shard) === 0 ? 'awake' : 'asleep';
    if (before === undefined || now - before.at < 500) continue;
    const rates = Object.entries(counts[shard]).map(([name, count]) => {
      const rate = Math.round(((count - before.counts[shard][name]) * 1000) / (now - before.at));
      return `${name} ${rate.toLocaleString('en')}/s`;
    });
    byId(`rates${shard}`).textContent = rates.join(' · ');
  }
  const next = before === undefined || now - before.at >= 500 ? { at: now, counts } : before;
  requestAnimationFrame(() => draw(watch, next));
}

/** Lets a worker watch while a call is made, and lists the changes that it saw. */
async function follow(runtime) {
  const observer = new Worker(new URL('./journey.js', import.meta.url), { type: 'module' });
  const heard = () =>
    new Promise((resolve, reject) => {
      observer.onmessage = ({ data }) => resolve(data);
      observer.onerror = (event) => reject(new Error(event.message));
    });
  try {
    observer.postMessage({ memory: runtime.memory, header: runtime.header });
    await heard(); // it looks
    const journey = heard();
    await runtime.on(0).travel();
    const { looks, events } = await journey;
    byId('journey').replaceChildren(
      ...events.map(({ us, text }) => {
        const item = document.createElement('li');
        item.textContent = `${us.toLocaleString('en')} µs: ${text}`;
        return item;
      }),
    );
    say(`one call was followed, by ${looks.toLocaleString('en')} looks at the memory`);
  } finally {
    observer.terminate();
  }
}

try {
  const runtime = await BrowserRuntime.start({
    shards: SHARDS,
    module: new URL('./module.js', import.meta.url),
    core: new URL('./featherstar/core.wasm', import.meta.url),
    limits: LIMITS,
  });
  let running = 0; // calls that buttons have made
  const enable = (isFollowing) => {
    for (const id of Object.keys(BUTTONS)) byId(id).disabled = isFollowing;
    byId('follow').disabled = isFollowing || running > 0; // a journey is followed while nothing else runs
  };
  for (const [id, [shard, name, ...args]] of Object.entries(BUTTONS)) {
    const button = byId(id);
    button.onclick = async () => {
      say(`${name}(${args}) runs on shard ${shard} …`);
      running++;
      enable(false);
      try {
        const result = await runtime.on(shard)[name](...args);
        say(`${name}(${args}) on shard ${shard} returned ${result.toLocaleString('en')}`);
      } catch (error) {
        say(`${error.code ?? error.name}: ${error.message}`);
      } finally {
        running--;
        enable(false);
      }
    };
  }
  byId('follow').onclick = async () => {
    enable(true);
    say('a call is under way …');
    await follow(runtime).catch((error) => say(`${error.code ?? error.name}: ${error.message}`));
    enable(false);
  };
  enable(false);
  globalThis.runtime = runtime; // for the console, and for the test
  globalThis.watch = new Watch(runtime);
  say('two shards sleep. Press something.');
  draw(globalThis.watch);
} catch (error) {
  say(`${error.code ?? error.name}: ${error.message}`);
}
