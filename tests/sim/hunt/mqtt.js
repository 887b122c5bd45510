// MQTT.js: messages of each quality of service, while connections are cut and the network fails.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';
import { MqttBroker } from './mqtt-broker.js';
import { MACHINES, troubles } from './troubles.js';

const { default: mqtt } = await hunted('mqtt');

export default (seed) =>
  simulate({ seed, ...MACHINES, faults: { partial: 0.05, reset: 0.003 } }, async (world) => {
    const broker = new MqttBroker(pick([1, 20]));
    await world.on(1, () => broker.start());
    const client = mqtt.connect('mqtt://db:1883', {
      clientId: 'searched',
      clean: false,
      reconnectPeriod: 20,
      connectTimeout: 500,
      keepalive: 2,
      resubscribe: Math.random() < 0.5,
    });
    client.on('error', (error) => note(`error: ${error.message}`));
    for (const event of ['connect', 'close', 'reconnect', 'offline', 'end', 'disconnect'])
      client.on(event, () => note(event));
    const sent = [];
    const calls = new Map();
    let isEnding = false;
    const publish = (payload, qos) =>
      new Promise((resolve) => {
        sent.push({ payload, qos });
        client.publish('topic', payload, { qos }, (error) => {
          calls.set(payload, (calls.get(payload) ?? 0) + 1);
          note(`${payload} (QoS ${qos}): ${error?.message ?? 'done'}`);
          if (!error) sometimes(true, `QoS ${qos} is done`);
          if (error && qos > 0 && !isEnding)
            always(false, 'a publish does not fail before end()', `${payload}: ${error.message}`);
          if (!error && qos > 0) always(broker.received.has(payload), 'the broker has what is acknowledged', payload);
          resolve();
        });
      });
    const work = async (name) => {
      for (let round = 0; round < 5; round++) {
        await sleep(below(60));
        const text = `${name}${round}`;
        const kind = pick(['publish', 'publish', 'publish', 'subscribe', 'unsubscribe']);
        const job =
          kind === 'publish'
            ? publish(text, pick([0, 1, 2]))
            : new Promise((resolve) => {
                client[kind](`topic/${name}`, (error) => {
                  note(`${kind} ${text}: ${error?.message ?? 'done'}`);
                  resolve();
                });
              });
        await world.within(30_000, `${kind} ${text}`, job);
      }
    };
    await Promise.all([troubles(world, broker), work('a'), work('b'), work('c')]);
    for (const { payload, qos } of sent) {
      if (qos === 2)
        always(
          broker.received.get(payload) === 1,
          'QoS 2 is delivered once',
          `${payload}: ${broker.received.get(payload)}`,
        );
    }
    const last = publish('last', pick([0, 1, 2]));
    if (Math.random() < 0.5) await world.on(1, () => broker.cut());
    await sleep(pick([0, 1, 20]));
    isEnding = true;
    const force = Math.random() < 0.5; // then it does not wait for messages, nor call back for them
    const end = new Promise((resolve) => client.end(force, () => resolve()));
    await world.within(40_000, `end(${force})`, end);
    if (!force) await world.within(40_000, `a publish before end()`, last);
    await sleep(3000);
    always(!client.connected, 'a client that has ended is not connected');
    for (const [payload, count] of calls) always(count === 1, 'a callback is called once', `${payload}: ${count}`);
    await world.on(1, () => broker.stop());
  });
