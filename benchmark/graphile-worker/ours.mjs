// A round of ours: a broker with an empty store, filled with jobs, and a worker that runs them.

import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { cpus } from 'node:os';
import { join } from 'node:path';

import { freePort, sleep, start, watch } from './processes.mjs';

const BATCH = 1000;
const LOOK_MS = 5;

/** A connection that asks one command at a time. */
class Connection {
  #socket;
  #input = '';
  #waiting = null;

  static async open(port) {
    for (let left = 200; ; left -= 1) {
      const connection = new Connection();
      try {
        await connection.#open(port);
        return connection;
      } catch (error) {
        if (left === 0) throw error;
        await sleep(50);
      }
    }
  }

  async #open(port) {
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.setEncoding('utf8');
    await new Promise((resolve, reject) => {
      this.#socket.once('connect', resolve);
      this.#socket.once('error', reject);
    });
    this.#socket.on('data', (text) => { this.#input += text; this.#waiting?.(); });
    this.#socket.on('close', () => this.#waiting?.());
    await this.#reply();
    await this.ask('HELLO {"v":2}');
  }

  /** A line, or the text of a bulk. */
  async #reply() {
    for (;;) {
      const end = this.#input.indexOf('\r\n');
      const length = this.#input.startsWith('$') && end > 0 ? Number(this.#input.slice(1, end)) : 0;
      const all = end + 2 + (length > 0 ? length + 2 : 0);
      if (end >= 0 && this.#input.length >= all) {
        const text = length > 0 ? this.#input.slice(end + 2, all - 2) : this.#input.slice(0, end);
        this.#input = this.#input.slice(all);
        if (text.startsWith('-')) throw new Error(`the broker answered ${text}`);
        return text;
      }
      if (this.#socket.closed) throw new Error('the broker closed the connection');
      await new Promise((resolve) => { this.#waiting = resolve; });
    }
  }

  ask(line) {
    this.#socket.write(`${line}\r\n`);
    return this.#reply();
  }

  end() {
    this.#socket.end();
  }
}

const fill = async (connection, jobs) => {
  for (let first = 0; first < jobs; first += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, jobs - first) }, (_, at) => ({
      jid: `job-${String(first + at).padStart(12, '0')}`,
      jobtype: 'add',
      args: [first + at, 1],
    }));
    const refused = await connection.ask(`PUSHB ${JSON.stringify(batch)}`);
    if (refused !== '{}') throw new Error(`jobs were refused: ${refused}`);
  }
};

/** Jobs that are acknowledged. */
const processed = async (connection) => {
  const info = JSON.parse(await connection.ask('INFO'));
  return info.faktory.total_processed;
};

/** Waits until this many jobs are acknowledged; returns their number and the time. */
const until = async (connection, jobs, worker) => {
  for (;;) {
    const done = await processed(connection);
    if (done >= jobs) return { done, at: performance.now() };
    if (worker.hasEnded()) throw new Error(`the worker has ended: ${worker.lastWords()}`);
    await sleep(LOOK_MS);
  }
};

/** Measures from the first acknowledgements to the last. */
export const ours = async ({ program, jobs, concurrency, folder }) => {
  const data = mkdtempSync(join(folder, 'broker-'));
  const port = await freePort();
  const plain = Object.fromEntries(['PATH', 'HOME'].map((name) => [name, process.env[name]]));
  const env = { ...plain, RUST_LOG: 'warn' };
  const broker = start(program, ['broker'], {
    env: { ...env, BROKER_BIND_ADDR: `127.0.0.1:${port}`, BROKER_DATA_DIR: data },
  });
  let worker = null;
  try {
    const connection = await Connection.open(port);
    await fill(connection, jobs);
    await sleep(2000);
    worker = start(program, ['worker'], {
      env: {
        ...env,
        FAKTORY_URL: `tcp://127.0.0.1:${port}`,
        WORKER_CONCURRENCY: String(concurrency),
        WORKER_QUEUES: 'default',
      },
    });
    const first = await until(connection, 1, worker);
    const used = watch([['broker', broker], ['worker', worker]]);
    const last = await until(connection, jobs, worker);
    const count = last.done - first.done;
    const seconds = (last.at - first.at) / 1e3;
    connection.end();
    const usage = used(count, cpus().length);
    return { jobs: count, seconds, jobs_per_second: count / seconds, ...usage };
  } finally {
    await worker?.end('SIGTERM');
    await broker.end('SIGTERM');
    rmSync(data, { recursive: true });
  }
};
