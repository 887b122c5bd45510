// The sample server as a program of `featherstar sim`: `sample-program.js?bug=lost%20wake-up` plants a bug.

import { runSample } from './sample-clients.js';
import { runCrash } from './sample-crash.js';

const bug = new URL(import.meta.url).searchParams.get('bug') ?? 'none';

export default (seed) => (bug === 'non-atomic replace' ? runCrash(seed, bug) : runSample(seed, bug));
