// A server that replies to any simple query with its text, as PostgreSQL does, for pools that are searched.

import { FAILURE, queryOf, readMessages, rowOf, WELCOME } from '../wire-protocols.js';
import { below } from './hunted.js';
import { Server } from './server.js';

const MS_MAX = 30;

const replyTo = (text) => (text === 'fail' ? FAILURE : rowOf(text));

export class PostgresServer extends Server {
  constructor() {
    super(5432);
  }

  serve(socket) {
    const replies = [];
    let isBusy = false;
    const next = () => {
      if (isBusy || replies.length === 0) return;
      isBusy = true;
      setTimeout(() => {
        isBusy = false;
        if (!socket.writable) return;
        socket.write(replies.shift());
        next();
      }, below(MS_MAX));
    };
    readMessages(socket, (type, body) => {
      if (type === '') replies.push(WELCOME);
      else if (type === 'Q') replies.push(replyTo(queryOf(body)));
      else if (type === 'X') socket.end();
      next();
    });
  }
}
