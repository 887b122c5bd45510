// A shard module that throws as it is loaded, on the shard that its URL names.
import { runtime } from 'featherstar';

const bad = new URL(import.meta.url).searchParams.get('shard');
if (runtime().self === Number(bad)) throw new Error(`shard ${bad} does not load`);
