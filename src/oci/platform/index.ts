/** Platforms, `os/architecture[/variant]`, normalized as containerd does. Spec: image-spec v1.1, image-index.md. */
import { CodedError } from '#base/errors/index.ts';

/** Where an image runs. Field names are the specification's. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
}

const ARCHITECTURES: Readonly<Record<string, { architecture: string; variant?: string }>> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  x64: { architecture: 'amd64' },
  i386: { architecture: '386' },
  ia32: { architecture: '386' },
  aarch64: { architecture: 'arm64' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
};

const DEFAULT_VARIANTS: Readonly<Record<string, string>> = { arm: 'v7' };
const SPECIFIER = /^[A-Za-z0-9_.-]+$/;
const KNOWN_OS = [
  'linux',
  'windows',
  'darwin',
  'freebsd',
  'netbsd',
  'openbsd',
  'solaris',
  'android',
  'plan9',
];
const KNOWN_ARCHITECTURES = [
  '386',
  'amd64',
  'arm',
  'arm64',
  'loong64',
  'mips',
  'mips64',
  'mips64le',
  'mipsle',
  'ppc64',
  'ppc64le',
  'riscv64',
  's390x',
  'wasm',
];

/** Maps aliases (`x86_64`, `aarch64`, …) to the specification's names and drops a variant that is the default. */
export function normalizePlatform(platform: Platform): Platform {
  const alias = ARCHITECTURES[platform.architecture.toLowerCase()];
  const architecture = alias?.architecture ?? platform.architecture.toLowerCase();
  let variant = platform.variant?.toLowerCase() || alias?.variant || DEFAULT_VARIANTS[architecture];
  if (variant && /^\d+$/.test(variant) && architecture.startsWith('arm')) variant = `v${variant}`;
  if (architecture === 'arm64' && variant === 'v8') variant = undefined;
  if (architecture === 'amd64' && variant === 'v1') variant = undefined;
  const rest = platform['os.version'] ? { 'os.version': platform['os.version'] } : {};
  return { os: platform.os.toLowerCase(), architecture, ...(variant ? { variant } : {}), ...rest };
}

/**
 * Reads `linux/arm64`, `linux/arm/v7`, `arm64` or `linux`; what is missing comes from `host`.
 * @throws {CodedError} `invalid_argument` when a part is empty or has a foreign character.
 */
export function parsePlatform(text: string, host: Platform): Platform {
  const parts = text.split('/');
  for (const [at, part] of parts.entries()) checkPart(text, part, at === 0);
  if (parts.length > 3) throw refused(`"${text}": cannot parse platform specifier`);
  const [first = '', second, third] = parts;
  if (second === undefined) {
    const isOs = KNOWN_OS.includes(first.toLowerCase());
    const { architecture } = normalizePlatform({ os: host.os, architecture: first });
    if (!isOs && !KNOWN_ARCHITECTURES.includes(architecture))
      throw refused(`"${text}": unknown operating system or architecture`);
    return normalizePlatform(isOs ? { ...host, os: first } : { os: host.os, architecture: first });
  }
  return normalizePlatform({ os: first, architecture: second, ...(third ? { variant: third } : {}) });
}

function checkPart(text: string, part: string, isFirst: boolean): void {
  if (SPECIFIER.test(part)) return;
  throw refused(
    isFirst
      ? `"${part}" is an invalid OS component of "${text}": OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\\\(([A-Za-z0-9_.-]*)\\\\))?$"`
      : `"${part}" is an invalid component of "${text}": platform specifier component must match "^[A-Za-z0-9_-]+$"`,
  );
}

/** As containerd ends its messages. */
function refused(message: string): CodedError {
  return new CodedError('invalid_argument', `${message}: invalid argument`);
}

/** `os/architecture[/variant]`. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return variant ? `${os}/${architecture}/${variant}` : `${os}/${architecture}`;
}

/** Whether an image for `offered` satisfies `wanted` exactly after normalization. */
export function samePlatform(offered: Platform, wanted: Platform): boolean {
  return formatPlatform(normalizePlatform(offered)) === formatPlatform(normalizePlatform(wanted));
}

/**
 * How well `offered` serves `wanted`: lower is better, `undefined` is not at all. An arm host runs lower
 * variants, an arm64 host runs no arm image by itself, an amd64 host runs amd64 and (worse) 386.
 */
export function rankPlatform(offered: Platform, wanted: Platform): number | undefined {
  const have = normalizePlatform(offered);
  const want = normalizePlatform(wanted);
  if (have.os !== want.os) return undefined;
  if (have.architecture === want.architecture) {
    const haveLevel = variantLevel(have);
    const wantLevel = variantLevel(want);
    return haveLevel > wantLevel ? undefined : wantLevel - haveLevel;
  }
  return undefined;
}

/** The platform of the running process. */
export function hostPlatform(): Platform {
  return normalizePlatform({ os: process.platform, architecture: process.arch });
}

function variantLevel(platform: Platform): number {
  const level = Number(platform.variant?.replace(/^v/, '') ?? '');
  if (platform.architecture === 'arm64') return level || 8;
  if (platform.architecture === 'amd64') return level || 1;
  return level || 0;
}
