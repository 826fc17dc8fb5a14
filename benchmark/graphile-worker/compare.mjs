#!/usr/bin/env node
// Compares our worker and broker with graphile_worker and PostgreSQL on this machine: both run the
// same number of jobs that do nothing, in turns. See "The worker beside graphile_worker" in
// ../README.md.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { ours } from './ours.mjs';
import { run } from './processes.mjs';
import { POSTGRES, theirs } from './theirs.mjs';

const GRAPHILE_WORKER = '0.18.0';
const NODE = '22.23.3';
const BIN = '/usr/lib/postgresql/15/bin';
/** How many times their jobs a second ours are to be. */
const TIMES = 1.5;
/** A round in which other processes took more of the machine is measured again, up to twice. */
const OTHERS = 0.1;
const RETRIES = 2;

/** Their settings: those with which their documents reach the most, for this concurrency. */
const preset = (concurrency) => ({
  concurrentJobs: concurrency,
  maxPoolSize: concurrency + 1,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
});

const options = () => {
  const { values } = parseArgs({
    options: {
      program: { type: 'string', default: 'target/release/work-factory' },
      commit: { type: 'string' },
      jobs: { type: 'string', default: '100000' },
      rounds: { type: 'string', default: '5' },
      concurrency: { type: 'string', default: '15' },
      installed: { type: 'string' },
      output: { type: 'string', default: 'graphile-worker.json' },
    },
  });
  const { jobs, rounds, concurrency } = values;
  return {
    ...values,
    program: resolve(values.program),
    jobs: Number(jobs),
    rounds: Number(rounds),
    concurrency: Number(concurrency),
  };
};

/** Installs graphile_worker and the Node that it needs, and PostgreSQL where it is missing. */
const install = (installed) => {
  if (!existsSync(join(BIN, 'postgres'))) {
    run('apt-get', ['install', '-y', '--no-install-recommends', 'postgresql-15']);
  }
  if (!existsSync(join(installed, 'node_modules/graphile-worker'))) {
    writeFileSync(join(installed, 'package.json'), '{"private":true}\n');
    const packages = [`graphile-worker@${GRAPHILE_WORKER}`, `node@${NODE}`];
    run('npm', ['install', '--no-audit', '--no-fund', '--save-exact', ...packages], {
      cwd: installed,
    });
  }
  const node = join(installed, 'node_modules/node/bin/node');
  return { installed, node, bin: BIN };
};

const spread = (values) => {
  const sorted = [...values].sort((one, other) => one - other);
  if (sorted.length === 0) return { median: NaN, min: NaN, max: NaN };
  const middle = sorted.length / 2;
  const median = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle) - 1]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1) };
};

const commit = () => {
  const git = (...words) => run('git', words, { cwd: import.meta.dirname ?? '.' });
  const isChanged = git('status', '--porcelain', '--untracked-files=no', '--', '../../crates');
  return `${git('rev-parse', '--short=12', 'HEAD')}${isChanged ? '+' : ''}`;
};

const report = (chosen, { node }, rounds) => {
  const of = (side) => rounds.filter((round) => round.side === side && !round.is_void);
  const each = (side, what) => spread(of(side).map((round) => round[what]));
  const side = (name) => ({
    jobs_per_second: each(name, 'jobs_per_second'),
    processor_us_of_all: each(name, 'processor_us_of_all'),
  });
  const pairs = of('ours').flatMap((our) =>
    of('theirs').filter((their) => their.round === our.round).map((their) => [our, their]));
  const ratios = (what) => pairs.map(([our, their]) => what(our) / what(their));
  const times = spread(ratios((round) => round.jobs_per_second));
  return {
    machine: {
      processor: cpus()[0].model,
      cores: cpus().length,
      memory_mib: Math.round(totalmem() / 2 ** 20),
      kernel: release(),
    },
    versions: {
      commit: chosen.commit ?? commit(),
      graphile_worker: GRAPHILE_WORKER,
      node: run(node, ['--version']),
      postgresql: run(join(BIN, 'postgres'), ['--version']),
    },
    settings: {
      jobs: chosen.jobs,
      rounds: chosen.rounds,
      concurrency: chosen.concurrency,
      graphile_worker: preset(chosen.concurrency),
      postgresql: POSTGRES,
    },
    ours: side('ours'),
    theirs: side('theirs'),
    times_their_jobs_per_second: times,
    times_their_processor_time: spread(ratios((round) => round.processor_us_of_all)),
    at_least: TIMES,
    is_met: times.median >= TIMES,
    rounds,
  };
};

/** Measures a side until a round is not void. */
const measure = async (side, round, play) => {
  const rounds = [];
  do {
    const result = await play();
    rounds.push({ side, round, ...result, is_void: result.others_share > OTHERS });
    const { jobs_per_second: rate, processor_us_of_all: us, is_void: isVoid } = rounds.at(-1);
    const figures = `${rate.toFixed(0)} jobs/s, ${us.toFixed(1)} µs a job`;
    console.error(`${round} ${side}: ${figures}${isVoid ? ', void' : ''}`);
  } while (rounds.at(-1).is_void && rounds.length <= RETRIES);
  return rounds;
};

const main = async () => {
  const chosen = options();
  const folder = mkdtempSync(join(tmpdir(), 'graphile-worker-'));
  run('chmod', ['755', folder]);
  try {
    const found = install(chosen.installed ? resolve(chosen.installed) : folder);
    const order = { ...chosen, ...found, folder, preset: preset(chosen.concurrency) };
    const sides = [['ours', () => ours(order)], ['theirs', () => theirs(order)]];
    const rounds = [];
    for (let round = 1; round <= chosen.rounds; round += 1) {
      for (const [side, play] of sides) rounds.push(...await measure(side, round, play));
      sides.reverse();
    }
    const made = report(chosen, found, rounds);
    writeFileSync(chosen.output, `${JSON.stringify(made, null, 2)}\n`);
    const { times_their_jobs_per_second: times, is_met: isMet } = made;
    console.error(`${times.median.toFixed(2)} times (${times.min.toFixed(2)} – `
      + `${times.max.toFixed(2)}), at least ${TIMES}: ${isMet ? 'met' : 'MISSED'}`);
    process.exitCode = isMet ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
};

await main();
