/** node bench/report.ts RESULTS.json…: the results of one or more runs as the table of docs/benchmarks.md. */
import { readFileSync } from 'node:fs';
import type { CaseResult } from './engine-cases.ts';
import { verdictOf } from './verdict.ts';

interface Run {
  readonly machine: {
    readonly cpu?: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly kernel: string;
    readonly at: string;
  };
  readonly results: readonly CaseResult[];
}

const runs = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, 'utf8')) as Run);
const rows = new Map(runs.flatMap((run) => run.results.map((row) => [row.case, row] as const)));
const [first] = runs;
if (first !== undefined) {
  const { cpu, cores, memoryBytes, kernel, at } = first.machine;
  console.log(
    `Machine: ${cores} cores (${cpu}), ${Math.round(memoryBytes / 2 ** 30)} GiB, Linux ${kernel}; ${at.slice(0, 10)}. Medians of whole-process times.\n`,
  );
}
console.log('| case | slipway | peer | ratio | goal | |');
console.log('|---|---|---|---|---|---|');
for (const row of rows.values()) {
  const { goal, isMet } = verdictOf(row);
  console.log(
    `| ${row.case} | ${figure(row.ours.median)} ${row.unit} | ${figure(row.peer.median)} ${row.unit} | ${row.ratio.toFixed(2)} | ${goal} | ${isMet === undefined ? '' : isMet ? 'met' : '**missed**'} |`,
  );
}

function figure(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}
