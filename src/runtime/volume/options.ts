/** What a volume's options (`type`, `device`, `o`) stand for: a mount on its directory while somebody uses it. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import { MNT, unmount } from '#base/posix/index.ts';
import type { Volume } from './types.ts';

const KNOWN = ['type', 'o', 'device', 'size'];
/** Options and those that they are nothing without, as Docker has them. */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  device: ['type'],
  type: ['device'],
  o: ['device', 'type'],
};

/** @throws {CodedError} `invalid_argument` in Docker's words. */
export function checkOptions(volume: string, options: Readonly<Record<string, string>>): void {
  const refuse = (why: string): never => {
    throw new CodedError('invalid_argument', `create ${volume}: ${why}`);
  };
  for (const option of Object.keys(options)) {
    if (!KNOWN.includes(option)) refuse(`invalid option: "${option}"`);
    const missing = (NEEDS[option] ?? []).find((other) => options[other] === undefined);
    if (missing !== undefined) refuse(`missing required option: "${missing}"`);
  }
  if (options['size'] !== undefined) refuse('quota size requested but no quota support');
}

/** Whether a volume is a mount of something else. */
export function hasDevice({ options }: Volume): boolean {
  return options['device'] !== undefined;
}

/**
 * Mounts what the options name, unless it is mounted.
 * @throws {CodedError} `failed_precondition` with the words of mount(8).
 */
export async function mountDevice({ mountpoint, options }: Volume): Promise<void> {
  if (listMountsBelow(mountpoint).includes(mountpoint)) return;
  const { type = 'none', device = '', o = '' } = options;
  const { code, text } = await run('mount', [
    '-n',
    '-t',
    type,
    ...(o === '' ? [] : ['-o', o]),
    '--',
    device,
    mountpoint,
  ]);
  if (code === 0) return;
  throw new CodedError(
    'failed_precondition',
    `error while mounting volume '${mountpoint}': failed to mount local volume: ${text.trim().split('\n')[0] ?? ''}`,
  );
}

/** Unmounts everything at and below a directory, the last mounted first. */
export function unmountBelow(dir: string): void {
  for (const target of listMountsBelow(dir).toReversed()) unmount(target, MNT.DETACH | MNT.NOFOLLOW);
}

function listMountsBelow(dir: string): readonly string[] {
  const targets = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal) => fromOctal(octal)));
  return targets.filter((target) => target === dir || target.startsWith(`${dir}/`));
}

function fromOctal(text: string): string {
  return String.fromCharCode(Number.parseInt(text, 8));
}

function run(
  program: string,
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
    });
    let text = '';
    child.stderr.on('data', (chunk) => {
      text += String(chunk);
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, text }));
  });
}
