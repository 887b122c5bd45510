// A library that keeps something from one world to the next, as an id generator or a cache does.

let worlds = 0;

export const remember = () => ++worlds;
