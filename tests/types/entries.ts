// Every entry point of the package: tsconfig.nodom.json compiles them without the DOM library.

import 'featherstar';
import 'featherstar/browser';
import 'featherstar/browser/shard';
import 'featherstar/client';
import 'featherstar/fs';
import 'featherstar/http';
import 'featherstar/nats';
import 'featherstar/net';
import 'featherstar/node';
import 'featherstar/testing';
