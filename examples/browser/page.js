// The page: starts the runtime, hangs functions of its module onto buttons, and looks at the memory once a frame.

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
  for (let shard = 0; shard < SHARDS; shard++) {
    drawWheel(byId(`wheel${shard}`), watch.wheel(shard));
    drawTasks(byId(`tasks${shard}`), watch.tasks(shard, TASKS), watch.liveTasks(shard));
    drawRing(byId(`ring${shard}`), watch.ring(shard, 1 - shard));
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

/** Has a worker look on while a call is made, and lists what it saw. */
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
  for (const [id, [shard, name, ...args]] of Object.entries(BUTTONS)) {
    const button = byId(id);
    button.disabled = false;
    button.onclick = async () => {
      say(`${name}(${args}) runs on shard ${shard} …`);
      try {
        const result = await runtime.on(shard)[name](...args);
        say(`${name}(${args}) on shard ${shard} answered ${result.toLocaleString('en')}`);
      } catch (error) {
        say(`${error.code ?? error.name}: ${error.message}`);
      }
    };
  }
  byId('follow').disabled = false;
  byId('follow').onclick = async () => {
    byId('follow').disabled = true; // one at a time
    say('a call is under way …');
    await follow(runtime).catch((error) => say(`${error.code ?? error.name}: ${error.message}`));
    byId('follow').disabled = false;
  };
  globalThis.runtime = runtime; // for whoever opens the console, and for the test
  globalThis.watch = new Watch(runtime);
  say('two shards sleep. Press something.');
  draw(globalThis.watch);
} catch (error) {
  say(`${error.code ?? error.name}: ${error.message}`);
}
