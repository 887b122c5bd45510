// Picks the host and says why. The ladder: FEATHERSTAR_HOST or the option, if given, is final: uring is an error where
// it is not available. Otherwise the choice is uring where it works, else portable.

import { errnoText } from '../base/errno.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import type { HostFactory, HostName, Windows } from './host.js';
import { PortableHost } from './portable.js';
import { isThreadInUse, loadAddon, UringHost } from './uring.js';

const portable = (reason: string): HostFactory => ({
  name: 'portable',
  reason,
  open: (windows: Windows) => new PortableHost(windows),
});

const uring = (reason: string): HostFactory => ({
  name: 'uring',
  reason,
  open: (windows: Windows) => new UringHost(windows),
});

/** The reason why uring is not available here, or undefined if it is. */
export function uringObstacle(): string | undefined {
  if (process.platform !== 'linux') return `io_uring is Linux's, this is ${process.platform}`;
  let result: number;
  try {
    result = loadAddon().probe();
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === 'MODULE_NOT_FOUND') return `no addon for linux-${process.arch}: none in the package, none was built`;
    if (code === 'ERR_DLOPEN_DISABLED')
      return `Node forbids addons (--no-addons, or --permission without --allow-addons)`;
    return `the addon cannot be loaded: ${code ?? message.split('\n', 1)[0]}`;
  }
  if (result < 0) return `io_uring_setup: ${errnoText(result, 'io_uring_setup')}`;
  return isThreadInUse() ? 'another copy of featherstar runs on io_uring in this thread' : undefined;
}

/** `wanted`: the option; FEATHERSTAR_HOST in the environment outranks it. */
export function pick(wanted?: HostName | 'auto'): HostFactory {
  const asked = process.env.FEATHERSTAR_HOST || wanted || 'auto';
  if (asked === 'portable') return portable('asked for');
  if (asked !== 'auto' && asked !== 'uring') throw optionError('host', asked, "'auto', 'uring' or 'portable'");
  const obstacle = uringObstacle();
  if (obstacle === undefined) return uring(asked === 'uring' ? 'asked for' : 'io_uring works');
  if (asked === 'auto') return portable(obstacle);
  throw new FeatherstarError('FEATHERSTAR_HOST', `host uring is not available: ${obstacle}`);
}
