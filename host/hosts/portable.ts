import type { ShardHost, Windows } from './host.js';
export declare class PortableHost implements ShardHost {
  constructor(windows: Windows);
  readonly name: 'portable';
  readonly fileSlots: number;
  enter(): void;
  start(turn: () => void): void;
  listen(options: import('./host.js').ListenOptions): { slot: number; port: number };
  doorbells(n: number): import('./host.js').DoorbellToken[];
  setPeer(peer: number, token: import('./host.js').DoorbellToken | undefined): void;
  ref(): void;
  unref(): void;
  close(): void;
}
