// A broker that speaks enough of MQTT 3.1.1, for clients that are searched. It keeps what it has over restarts.

import { createRequire } from 'node:module';
import { below, fileOf } from './hunted.js';
import { Server } from './server.js';

const { parser: makeParser, generate } = createRequire(fileOf('mqtt'))('mqtt-packet');

export class MqttBroker extends Server {
  received = new Map(); // how often each payload has come, once for each id of a QoS 2 message
  #pending = new Set(); // ids of QoS 2 messages that are not released
  #slowMs;
  #session = false;

  constructor(slowMs) {
    super(1883);
    this.#slowMs = slowMs;
  }

  #take(payload) {
    this.received.set(payload, (this.received.get(payload) ?? 0) + 1);
  }

  #reply(packet) {
    const { cmd, messageId, qos, payload } = packet;
    if (cmd === 'connect') {
      const sessionPresent = this.#session && !packet.clean;
      if (!sessionPresent) this.#pending.clear();
      this.#session = true;
      return { cmd: 'connack', returnCode: 0, sessionPresent };
    }
    if (cmd === 'publish' && qos === 0) this.#take(String(payload));
    if (cmd === 'publish' && qos === 1) {
      this.#take(String(payload));
      return { cmd: 'puback', messageId };
    }
    if (cmd === 'publish' && qos === 2) {
      if (!this.#pending.has(messageId)) this.#take(String(payload));
      this.#pending.add(messageId);
      return { cmd: 'pubrec', messageId };
    }
    if (cmd === 'pubrel') {
      this.#pending.delete(messageId);
      return { cmd: 'pubcomp', messageId };
    }
    if (cmd === 'subscribe') return { cmd: 'suback', messageId, granted: packet.subscriptions.map((s) => s.qos) };
    if (cmd === 'unsubscribe') return { cmd: 'unsuback', messageId, granted: [] };
    if (cmd === 'pingreq') return { cmd: 'pingresp' };
    return undefined;
  }

  serve(socket) {
    const parser = makeParser();
    let last = Promise.resolve();
    parser.on('packet', (packet) => {
      last = last.then(async () => {
        await new Promise((resolve) => setTimeout(resolve, below(this.#slowMs)));
        if (socket.destroyed) return;
        const reply = this.#reply(packet);
        if (reply !== undefined) socket.write(generate(reply));
        if (packet.cmd === 'disconnect') socket.end();
      });
    });
    parser.on('error', () => socket.destroy());
    socket.on('data', (bytes) => parser.parse(bytes));
  }
}
