// One operation of a shard's own as a promise, staged by hand.

import { Operation } from '../../dist/host/shard/operation.js';

const FIXED_FILE = 1;

/** Stages one by `stage`, which is given the Operation. It can be cancelled until `result` resolves. */
export function start(shard, stage) {
  let settle;
  const result = new Promise((resolve) => {
    settle = resolve;
  });
  const onEvent = (_tag, its) => {
    operation.ended();
    settle(its);
  };
  const id = shard.register({ onEvent });
  const operation = new Operation(shard, id, 0);
  stage(operation);
  shard.unregister(id); // when its event has come
  return { result, cancel: () => operation.cancel() };
}

/** The result of an operation that `stage` stages. */
export function operate(shard, stage) {
  return start(shard, stage).result;
}

/** Submits what no function of featherstar's would, as a core gone wrong might. Resolves with its result. */
export function submitRaw(shard, opcode, { fd = 0, off = 0, addr = 0, len = 0, fileIndex = 0, fixed = true }) {
  const flags = fixed ? FIXED_FILE : 0;
  const what = { opcode, flags, ioprio: 0, file: fd, off, ptr: addr, len, opFlags: 0, fileIndex };
  return operate(shard, (operation) => operation.stageOrThrow(what));
}
