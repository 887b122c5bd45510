// A time limit for anything that takes time. Work that is given as a function gets a signal, and can stop when its
// result is no longer needed.
import { blockOn, FeatherstarError, runtimeOptions, sleep, timeout } from 'featherstar';

async function download(name, ms, signal) {
  try {
    await sleep(ms, { signal }); // a stand-in for a slow network
    return `all of ${name}`;
  } catch (error) {
    console.log(`(the download of ${name} has stopped)`);
    throw error;
  }
}

await blockOn(async () => {
  console.log(await timeout(60_000, (signal) => download('a small file', 5, signal)));

  try {
    // Rejects on time; the download hears of it by its signal, and stops as soon as it can.
    await timeout(20, (signal) => download('a large file', 60_000, signal));
  } catch (error) {
    console.log(`${error.code}: ${error.message}`);
  }

  // A promise has limits, too, but cannot be told to stop: what it comes to later is dropped.
  const endless = new Promise(() => undefined);
  const result = await timeout(20, endless).catch((error) => {
    if (FeatherstarError.is(error) && error.code === 'FEATHERSTAR_TIMEOUT') return 'a default';
    throw error; // anything else is no time-out
  });
  console.log(`instead of the promise: ${result}`);
}, runtimeOptions().options);

// It prints:
//   all of a small file
//   FEATHERSTAR_TIMEOUT: it took longer than 20 ms
//   (the download of a large file has stopped)
//   instead of the promise: a default
