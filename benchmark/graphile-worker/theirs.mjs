// A round of theirs: a cluster of PostgreSQL of its own, filled with jobs, and a graphile_worker
// that runs them.

import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { join } from 'node:path';

import { freePort, run, sleep, start, watch } from './processes.mjs';

const BATCH = 5000;

/** PostgreSQL's settings beyond its defaults. What is stored is synced before it is answered. */
export const POSTGRES = {
  fsync: 'on',
  synchronous_commit: 'on',
  shared_buffers: '1GB',
  max_wal_size: '4GB',
  wal_compression: 'lz4',
};

/** The user and the group as which the cluster runs: PostgreSQL refuses root. */
const owner = () => {
  if (process.getuid() !== 0) return {};
  const of = (what) => Number(run('id', [what, 'postgres']));
  return { uid: of('-u'), gid: of('-g') };
};

const startCluster = async (bin, data, port) => {
  const as = owner();
  if (as.uid !== undefined) chownSync(data, as.uid, as.gid);
  const options = { ...as, cwd: data };
  run(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync'], options);
  const settings = {
    ...POSTGRES,
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
  };
  const words = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = start(join(bin, 'postgres'), ['-D', data, ...words], options);
  for (let left = 200; ; left -= 1) {
    try {
      run(join(bin, 'pg_isready'), ['-h', '127.0.0.1', '-p', String(port)]);
      return server;
    } catch (error) {
      if (left === 0 || server.hasEnded()) throw new Error(server.lastWords() || error.message);
      await sleep(50);
    }
  }
};

const fill = async (installed, url, jobs) => {
  const { makeWorkerUtils } = createRequire(join(installed, 'package.json'))('graphile-worker');
  const utils = await makeWorkerUtils({ connectionString: url });
  try {
    await utils.migrate();
    for (let first = 0; first < jobs; first += BATCH) {
      const length = Math.min(BATCH, jobs - first);
      const specs = Array.from({ length }, (_, at) => ({
        identifier: 'add',
        payload: [first + at, 1],
      }));
      await utils.addJobs(specs);
    }
    await utils.withPgClient(async (client) => {
      await client.query('vacuum analyze');
      await client.query('checkpoint');
    });
  } finally {
    await utils.release();
  }
};

/** The events of their worker: `begun` at the first job, `done` when no job is left. */
const events = (worker) => {
  const found = new Map();
  worker.lines.on('line', (line) => {
    if (!line.startsWith('{')) return;
    const { event, at_ms: atMs, jobs } = JSON.parse(line);
    found.get(event)?.({ atMs, jobs });
  });
  return (name) => new Promise((resolve, reject) => {
    found.set(name, resolve);
    const look = setInterval(() => {
      if (worker.hasEnded()) {
        clearInterval(look);
        reject(new Error(`graphile_worker has ended: ${worker.lastWords()}`));
      }
    }, 500);
    look.unref();
  });
};

/** Measures from the first job to the time at which no job is left in the table. */
export const theirs = async ({ installed, node, bin, preset, jobs, folder }) => {
  const data = mkdtempSync(join(folder, 'postgres-'));
  const port = await freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const server = await startCluster(bin, data, port);
  let worker = null;
  try {
    await fill(installed, url, jobs);
    await sleep(2000);
    const program = new URL('their_worker.mjs', import.meta.url).pathname;
    const order = JSON.stringify({ installed, url, jobs, preset });
    const env = { PATH: process.env.PATH, NODE_ENV: 'production' };
    worker = start(node, [program, order], { env });
    const event = events(worker);
    const done = event('done');
    const first = await event('begun');
    const used = watch([['postgresql', server], ['worker', worker]]);
    const last = await done;
    const usage = used(jobs, cpus().length);
    if (last.jobs !== jobs) throw new Error(`${last.jobs} of ${jobs} jobs were run`);
    const seconds = (last.atMs - first.atMs) / 1e3;
    return { jobs, seconds, jobs_per_second: jobs / seconds, ...usage };
  } finally {
    await worker?.end('SIGTERM');
    await server.end('SIGINT');
    rmSync(data, { recursive: true });
  }
};
