// A library that keeps functions of globals when it loads, as process-nextick-args, MQTT.js and lodash do.

const { nextTick } = process;
const { setTimeout, setInterval, clearInterval, setImmediate } = globalThis;
const { now } = Date;
const { random } = Math;
const perform = performance.now.bind(performance);

module.exports = { nextTick, setTimeout, setInterval, clearInterval, setImmediate, now, random, perform };
