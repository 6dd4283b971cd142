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
  if (parts.length > 3 || parts.some((part) => !SPECIFIER.test(part))) {
    throw new CodedError(
      'invalid_argument',
      `"${text}": invalid platform: expected os/architecture[/variant]`,
    );
  }
  const [first = '', second, third] = parts;
  if (second === undefined) {
    const isOs = ['linux', 'windows', 'darwin', 'freebsd'].includes(first.toLowerCase());
    return normalizePlatform(isOs ? { ...host, os: first } : { os: host.os, architecture: first });
  }
  return normalizePlatform({ os: first, architecture: second, ...(third ? { variant: third } : {}) });
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
