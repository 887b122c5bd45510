// Which socket is bound to which address and port of which simulated machine, and which one gets what arrives there.
// This is as on Linux, where `0.0.0.0` stands for any IPv4 address, and `::` any address at all. A path is an address
// without a port.
//
// Next: sim-net.ts.

import { Errno } from '../core/kernel.js';
import type { DatagramOptions } from '../hosts/host.js';
import { encodeAddress } from '../net/address.js';
import { SenderNames } from '../net/udp-address.js';
import type { Machines } from './sim-machines.js';

const MAPPED = '::ffff:'; // an IPv4 address as an IPv6 socket has it

export interface NetworkPlace {
  readonly machine: number;
  /** An address as `addressOf()` writes it, or `unix:` and a path. */
  readonly address: string;
  readonly port: number;
  readonly isShared: boolean;
}

/** The address in a sockaddr of IPv4 or IPv6, always in the same form. */
export function addressOf(sockaddr: Buffer): string {
  const address = new SenderNames(sockaddr).addressAt(0);
  return address.startsWith(MAPPED) ? address.slice(MAPPED.length) : address;
}

/** How a socket that is bound there has the sender's address. */
export function asSeenFrom(place: NetworkPlace, address: string): string {
  return place.address.includes(':') && !address.includes(':') ? MAPPED + address : address;
}

/** No address of its own: the system picks one. */
export function isAny(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

export function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

/** The loopback address of the same family. */
export function loopbackOf(address: string): string {
  return address.includes(':') ? '::1' : '127.0.0.1';
}

function covers(address: string, other: string): boolean {
  return address === '::' || (address === '0.0.0.0' && !other.includes(':'));
}

function overlaps(a: string, b: string): boolean {
  return a === b || covers(a, b) || covers(b, a);
}

export class Ports<T extends { readonly place: NetworkPlace }> {
  readonly #machines: Machines;
  readonly #bound = new Map<string, T[]>();
  #nextFree: number;

  constructor(machines: Machines, firstFree: number) {
    this.#machines = machines;
    this.#nextFree = firstFree;
  }

  #at(machine: number, port: number): readonly T[] {
    return this.#bound.get(`${machine}:${port}`) ?? [];
  }

  /** A place that may be had, or -errno. `add()` takes it. */
  place(machine: number, { address, port, reusePort, isFirst }: DatagramOptions): NetworkPlace | number {
    const isPath = address.startsWith('unix:');
    const own = isPath ? address : addressOf(Buffer.from(encodeAddress(address, port)));
    if (!isPath && !this.#machines.isOwn(own, machine)) return Errno.EADDRNOTAVAIL;
    const place = { machine, address: own, port, isShared: reusePort && !isPath };
    if (port === 0 && !isPath) {
      while (this.#at(machine, this.#nextFree).length !== 0) this.#nextFree++;
      return { ...place, port: this.#nextFree++ };
    }
    const there = this.#at(machine, port).filter((other) => overlaps(other.place.address, own));
    const isFree = there.length === 0 || (place.isShared && !isFirst && there.every((other) => other.place.isShared));
    return isFree ? place : Errno.EADDRINUSE;
  }

  add(one: T): void {
    const { machine, port } = one.place;
    this.#bound.set(`${machine}:${port}`, [...this.#at(machine, port), one]);
  }

  remove(one: T): void {
    const { machine, port } = one.place;
    const left = this.#at(machine, port).filter((other) => other !== one);
    if (left.length === 0) this.#bound.delete(`${machine}:${port}`);
    else this.#bound.set(`${machine}:${port}`, left);
  }

  /** Those that get what comes to this address: who is bound to it, or else to any. */
  find(machine: number, address: string, port: number, isFor: (one: T) => boolean = () => true): readonly T[] {
    const there = this.#at(machine, port).filter(isFor);
    const exact = there.filter(({ place }) => place.address === address);
    return exact.length !== 0 ? exact : there.filter(({ place }) => covers(place.address, address));
  }
}
