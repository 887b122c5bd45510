// A module that serve({ module }) loads on every shard.

import { runtime } from 'featherstar';

const waiting = [];

class App {
  #name = 'app'; // fetch() needs its `this`

  async fetch(request, info, context) {
    if (request.path === '/info') return Response.json([info === context, info.remote.hostname, info.server.port]);
    if (request.path === '/wait') await new Promise((resolve) => waiting.push(resolve));
    return new Response(`${this.#name} on ${runtime().self}`);
  }
}

export default new App();

export const self = () => runtime().self;
export const countWaiting = () => waiting.length;
export const exit = () => process.exit(3);
export const throwUncaught = () => {
  setTimeout(() => {
    throw new Error('nobody catches this');
  });
};

const logged = [];
export const onResponse = ({ request, status }) => void logged.push(`${request?.path} ${status}`);
export const loggedHere = () => logged;
