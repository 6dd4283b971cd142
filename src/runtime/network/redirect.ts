import { inNetns, openFirewall } from '#base/posix/index.ts';
import { drawResolverRedirect } from './rules.ts';
import type { Sandbox } from './types.ts';

/** Leads what a sandbox sends to port 53 of `address`, one of its loopback addresses, to `port`. Call once for each sandbox. */
export function redirectQueries(
  sandbox: Sandbox,
  target: { readonly address: string; readonly port: number },
): void {
  inNetns(sandbox.path, () => {
    using firewall = openFirewall();
    firewall.run(drawResolverRedirect(target.address, target.port));
  });
}
