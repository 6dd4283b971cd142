/** Writes the expected files of all golden tests anew: `npm run golden`. Review the diff like code. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const { status } = spawnSync(process.execPath, ['--test', 'src/**/golden.test.ts'], {
  cwd: root,
  env: { ...process.env, SLIPWAY_UPDATE_GOLDEN: '1' },
  stdio: 'inherit',
});
process.exit(status ?? 1);
