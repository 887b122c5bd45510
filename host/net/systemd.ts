// Sockets that systemd has opened for this process (socket activation, sd_listen_fds(3)): descriptors from 3 on, whose
// number, names and owner are in the environment.

import { optionError } from '../base/errors.js';

const FIRST_FD = 3;
const NO_NAME = 'unknown'; // as sd_listen_fds_with_names(3) says it

/** A socket that systemd has opened for this process. */
export interface SystemdSocket {
  /** The descriptor: `fd` of `listen()` and `serve()`. */
  fd: number;
  /** Its FileDescriptorName=, by default the name of the socket unit; 'unknown' if systemd says none. */
  name: string;
}

/**
 * Returns the sockets that systemd has opened for this process (socket activation), in the order of the socket unit.
 * Without socket activation, or if LISTEN_PID is another process, there are none. Throws FEATHERSTAR_OPTION if
 * LISTEN_FDS is no number.
 */
export function systemdSockets(): SystemdSocket[] {
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: names } = process.env;
  if (count === undefined || Number(pid) !== process.pid) return [];
  if (!/^\d{1,4}$/.test(count)) throw optionError('LISTEN_FDS', count, 'a number of descriptors');
  const nameOf = names === undefined || names === '' ? [] : names.split(':');
  return Array.from({ length: Number(count) }, (_, i) => ({ fd: FIRST_FD + i, name: nameOf[i] || NO_NAME }));
}
