/**
 * npm run bench -- [--json FILE] [--only run,build,…] [--runs N] [--cache DIR]
 * Measures Slipway against its peers in one run, prints a table with ratios, writes JSON.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { cliCases } from './cli-cases.ts';
import {
  type BenchContext,
  type CaseResult,
  ENGINE_CASES,
  type EngineCase,
  loadBase,
} from './engine-cases.ts';
import { command } from './measure.ts';
import { MemoryWatch } from './memory-watch.ts';
import { type EngineUnderTest, ensurePeerRoot, startDockerd, startSlipway } from './peers.ts';
import { podmanCases } from './podman-cases.ts';
import { verdictOf } from './verdict.ts';

/** Helpers that wait for more work have gone by then. */
const IDLE_AFTER_MS = 22_000;

const here = resolve(import.meta.dirname, '..');
const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    only: { type: 'string' },
    runs: { type: 'string', default: '11' },
    cache: { type: 'string', default: '/var/cache/slipway-bench' },
  },
});

const wanted = values.only?.split(',') ?? [
  'cli',
  'run',
  'build',
  'podman',
  'context',
  'registry',
  'tutorial',
  'memory',
];
const CASES: Readonly<Record<string, EngineCase>> = { ...ENGINE_CASES, podman: podmanCases };
const results: CaseResult[] = [];
const log = (text: string): void => void process.stderr.write(`bench: ${text}\n`);

const engineCases = wanted.filter((name) => name in CASES);
if (engineCases.length > 0 || wanted.includes('cli')) await measureEngines();
if (wanted.includes('registry')) await measureRegistry();
printTable(results);
if (values.json) {
  const machine = {
    cpu: cpus()[0]?.model,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    at: new Date().toISOString(),
  };
  writeFileSync(values.json, `${JSON.stringify({ machine, results }, null, 2)}\n`);
}

async function measureEngines(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-bench-'));
  log('setting the peer engine up');
  const root = ensurePeerRoot(values.cache);
  const program = join(here, 'dist/package/bin/slipway');
  const ours = await startSlipway(program, join(dir, 'ours'));
  const peer = await startDockerd(root, join(dir, 'peer'));
  try {
    let engines = 0;
    const startFresh = async (): Promise<EngineUnderTest> => {
      const fresh = await startSlipway(program, join(dir, `fresh${++engines}`));
      memory.add('ours', fresh);
      return fresh;
    };
    const context: BenchContext = { ours, peer, startFresh, dir, runs: Number(values.runs), log };
    await loadBase(context);
    if (wanted.includes('cli') || wanted.includes('memory')) {
      log('waiting for both engines to be idle');
      await delay(IDLE_AFTER_MS);
    }
    const memory = new MemoryWatch(ours, peer);
    if (wanted.includes('cli')) results.push(...(await cliCases(context, here)));
    for (const name of engineCases) {
      log(`case ${name}`);
      if (name === 'tutorial') makeDebianBase(join(dir, 'debian.tar'));
      results.push(...((await CASES[name]?.(context)) ?? []));
    }
    results.push(...(await memory.stop()));
  } finally {
    await ours.stop();
    await peer.stop();
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function measureRegistry(): Promise<void> {
  log('case registry');
  const { runRegistryBench } = await import('./registry.ts');
  results.push(...(await runRegistryBench({ program: join(here, 'dist/package/bin/slipway'), log })));
}

function makeDebianBase(out: string): void {
  mkdirSync(resolve(out, '..'), { recursive: true });
  command('bash', [join(here, 'scripts/make-base.sh'), 'debian', out]);
}

function printTable(rows: readonly CaseResult[]): void {
  const number = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
  const cells = rows.map((row) => {
    const { goal, isMet } = verdictOf(row);
    return [
      row.case,
      `${number(row.ours.median)} ${row.unit}`,
      `${number(row.peer.median)} ${row.unit}`,
      row.ratio.toFixed(2),
      goal,
      isMet === undefined ? '' : isMet ? 'met' : 'missed',
    ];
  });
  const table = [['case', 'slipway', 'peer', 'ratio', 'goal', ''], ...cells];
  const widths = [0, 1, 2, 3, 4, 5].map((column) =>
    Math.max(...table.map((line) => line[column]?.length ?? 0)),
  );
  for (const line of table)
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}
