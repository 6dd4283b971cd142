/** Start to end of the two commands people type most, each CLI on its own engine's socket. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { BenchContext, CaseResult } from './engine-cases.ts';
import { compare } from './measure.ts';

/** `version` and `images`, without a goal: Node alone needs more than docker's whole run. */
export async function cliCases(context: BenchContext, checkout: string): Promise<readonly CaseResult[]> {
  const results: CaseResult[] = [];
  for (const name of ['version', 'images']) {
    const run = (program: string, env: NodeJS.ProcessEnv) => () => {
      const done = spawnSync(program, [name], { env: { ...process.env, ...env }, stdio: 'ignore' });
      if (done.status !== 0) throw new Error(`${program} ${name} ended with ${done.status}`);
      return undefined;
    };
    const host = `unix://${context.ours.socket}`;
    const ours = {
      name: 'ours',
      run: run(join(checkout, 'dist/package/bin/slipway'), { SLIPWAY_HOST: host, DOCKER_HOST: host }),
    };
    const peer = { name: 'peer', run: run('docker', { DOCKER_HOST: `unix://${context.peer.socket}` }) };
    const figures = await compare(ours, peer, { runs: context.runs, warmup: 3 });
    results.push({
      case: `CLI: ${name}`,
      unit: 'ms',
      ...figures,
      ratio: figures.ours.median / figures.peer.median,
      higherIsBetter: false,
    });
  }
  return results;
}
