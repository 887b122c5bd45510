// The data of both services of nats.mjs.

const values = new Map([['key', { any: ['plain', 'value'] }]]);

export const get = (key) => values.get(key);
