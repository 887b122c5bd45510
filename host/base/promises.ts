// Promises of a program's own class: their then() may call back twice, or at once.

const nativeThen = Promise.prototype.then;

/** A promise that settles once, as `promise` does. It is `promise` itself, if that has the platform's then(). */
export function settledOnce<T>(promise: Promise<T>): Promise<T> {
  return promise.then === nativeThen ? promise : new Promise((resolve) => resolve(promise));
}
