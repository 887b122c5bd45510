// What both services of nats.mjs respond.

const values = new Map([['key', { any: ['plain', 'value'] }]]);

export const get = (key) => values.get(key);
