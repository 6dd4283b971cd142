import { CodedError } from '#base/errors/index.ts';
import { DEFAULT_REGISTRY } from '#oci/reference/index.ts';
import type { RegistryClientOptions } from '#registry/client/types.ts';
import type { DaemonSettings } from './settings.ts';

/** Folders with the certificates of registries, ours first, then Docker's. */
const CERTS_DIRS = ['/etc/slipway/certs.d', '/etc/docker/certs.d'] as const;

/** What the settings mean for the registry client. @throws `invalid_argument` for a mirror that is no URL. */
export function registryClientOptions(settings: DaemonSettings, userAgent: string): RegistryClientOptions {
  const mirrors: Record<string, string[]> = {};
  for (const { registry, url } of settings.registryMirrors.map(parseMirror)) {
    mirrors[registry] ??= [];
    mirrors[registry].push(url);
  }
  const { http, https, no } = settings.proxy;
  return {
    insecureRegistries: settings.insecureRegistries,
    mirrors,
    certsDirs: CERTS_DIRS,
    userAgent,
    ...(http === undefined && https === undefined
      ? {}
      : {
          proxy: {
            ...(http === undefined ? {} : { http }),
            ...(https === undefined ? {} : { https }),
            no: (no ?? '')
              .split(',')
              .map((host) => host.trim())
              .filter(Boolean),
          },
        }),
  };
}

/** `URL` is a mirror of Docker Hub, `HOST=URL` one of that host. */
function parseMirror(text: string): { readonly registry: string; readonly url: string } {
  const match = /^(?:([^=/]+)=)?(https?:\/\/.+)$/.exec(text);
  if (match?.[2] === undefined || !URL.canParse(match[2]))
    throw new CodedError('invalid_argument', `invalid mirror: "${text}" is no http or https URL`);
  return { registry: match[1] ?? DEFAULT_REGISTRY, url: match[2].replace(/\/+$/, '') };
}
