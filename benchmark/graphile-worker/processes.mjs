// Processes: their start and end, the processor time that they use, and free ports.

import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const TICKS_PER_SECOND = 100;
const ENDS_WITHIN_MS = 20_000;

/** A promise that is kept after this time. */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs a program to its end; returns what it said. */
export const run = (program, args, options = {}) => {
  const ended = spawnSync(program, args, { encoding: 'utf8', ...options });
  if (ended.status !== 0) {
    throw new Error(`${program} ${args.join(' ')} failed: ${ended.error ?? ended.stderr}`);
  }
  return ended.stdout.trim();
};

/** Starts a program. The last lines that it writes to standard error are kept for messages. */
export const start = (program, args, options = {}) => {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  const said = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    said.push(line);
    if (said.length > 20) said.shift();
  });
  const ended = new Promise((resolve) => { child.on('exit', resolve); });
  let hasEnded = false;
  ended.then(() => { hasEnded = true; });
  return {
    id: child.pid,
    lines: createInterface({ input: child.stdout }),
    lastWords: () => said.join('\n'),
    hasEnded: () => hasEnded,
    /** Ends it by a signal, and kills it where it does not end. */
    end: async (signal) => {
      child.kill(signal);
      await Promise.race([ended, sleep(ENDS_WITHIN_MS).then(() => child.kill('SIGKILL'))]);
      await ended;
    },
  };
};

/** A port of loopback that nobody listens at. */
export const freePort = () => new Promise((resolve, reject) => {
  const server = createServer();
  server.on('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

/** The numbers of a process's stat from the state on, as proc(5) has them; none where it ended. */
const stat = (id) => {
  try {
    const text = readFileSync(`/proc/${id}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number);
  } catch {
    return null;
  }
};

/** Seconds of processor time of a process with its children, those that have ended included. */
export const processorSeconds = (id) => {
  const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = new Map(ids.map((one) => [one, stat(one)?.[1]]));
  const family = [id];
  for (const parent of family) {
    family.push(...ids.filter((one) => parents.get(one) === parent));
  }
  const ticks = family.flatMap((one) => stat(one)?.slice(11, 15) ?? []);
  return ticks.reduce((sum, some) => sum + some, 0) / TICKS_PER_SECOND;
};

/** Seconds in which the processors of the machine were busy. */
export const busySeconds = () => {
  const [user, nice, system, , , irq, soft] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0].split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + soft) / TICKS_PER_SECOND;
};

/** What processes use between now and the call of the returned function, for each of the jobs. */
export const watch = (processes) => {
  const now = () => processes.map(([name, { id }]) => [name, processorSeconds(id)]);
  const [before, busyBefore, began] = [new Map(now()), busySeconds(), performance.now()];
  return (jobs, cores) => {
    const used = now().map(([name, seconds]) => [name, seconds - before.get(name)]);
    const all = used.reduce((sum, [, seconds]) => sum + seconds, 0);
    const wall = (performance.now() - began) / 1e3;
    const micros = (seconds) => (seconds * 1e6) / jobs;
    return {
      processor_us_per_job: Object.fromEntries(used.map(([name, of]) => [name, micros(of)])),
      processor_us_of_all: micros(all),
      others_share: Math.max(0, busySeconds() - busyBefore - all) / (wall * cores),
    };
  };
};
