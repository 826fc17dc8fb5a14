// A graphile_worker as a process of its own, which runs jobs that do nothing, and says when it
// began and when no job is left.

import { createRequire } from 'node:module';
import { join } from 'node:path';

const { installed, url, jobs, preset } = JSON.parse(process.argv[2]);
const require = createRequire(join(installed, 'package.json'));
const { Logger, WorkerPreset, run } = require('graphile-worker');
const { Client } = require('pg');

const say = (event) => {
  const now = performance.timeOrigin + performance.now();
  process.stdout.write(`${JSON.stringify({ event, at_ms: now, jobs: ran })}\n`);
};

let ran = 0;
const sum = { last: 0 };
let allRan;
const all = new Promise((resolve) => { allRan = resolve; });

const add = async ([one, other]) => {
  if (ran === 0) say('begun');
  sum.last = one + other;
  ran += 1;
  if (ran === jobs) allRan();
};

const client = new Client({ connectionString: url });
await client.connect();
const runner = await run({
  preset: {
    extends: [WorkerPreset],
    worker: {
      ...preset,
      connectionString: url,
      logger: new Logger(() => () => {}),
    },
  },
  taskList: { add },
});
await all;
const IS_LEFT = 'select exists (select from graphile_worker._private_jobs) as is_left';
while ((await client.query(IS_LEFT)).rows[0].is_left) {
  await new Promise((resolve) => { setTimeout(resolve, 5); });
}
say('done');
await client.end();
await runner.stop();
