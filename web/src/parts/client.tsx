import { Code, SegmentedControl, Text } from '@mantine/core';
import { useLocalStorage } from '@mantine/hooks';

const CLIENTS = [
  { value: 'docker', label: 'Docker' },
  { value: 'podman', label: 'Podman' },
  { value: 'slipway', label: 'Slipway' },
] as const;

/** A command line that talks to the hub. */
export type Client = (typeof CLIENTS)[number]['value'];

/** The client whose commands are shown; a browser remembers it. */
export function useClient(): readonly [Client, (client: Client) => void] {
  const [stored, store] = useLocalStorage<string>({ key: 'slipway-client', defaultValue: 'docker' });
  const client = CLIENTS.find(({ value }) => value === stored)?.value ?? 'docker';
  return [client, store];
}

/** Chooses the client of the commands beside it. */
export function ClientSwitch() {
  const [client, setClient] = useClient();
  return (
    <SegmentedControl
      size="xs"
      data={[...CLIENTS]}
      value={client}
      onChange={(value) => setClient(value as Client)}
      aria-label="Client of the commands"
    />
  );
}

/** A command that goes to the hub. Podman wants to be told when there is no TLS, on this machine too. */
export function hubCommand(client: Client, verb: 'login' | 'pull' | 'push', rest: string): string {
  const isPlain = globalThis.location.protocol === 'http:';
  return `${client} ${verb}${client === 'podman' && isPlain ? ' --tls-verify=false' : ''} ${rest}`;
}

const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/;

/** What Docker has to be told before it talks to a hub without TLS on another machine. */
export function PlainNote({ host }: { readonly host: string }) {
  const [client] = useClient();
  const isPlain = globalThis.location.protocol === 'http:';
  if (!isPlain || client !== 'docker' || host === '' || LOOPBACK.test(host)) return null;
  return (
    <Text size="sm" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
      This hub is served without TLS, which Docker refuses unless it is told: put{' '}
      <Code>{`"insecure-registries": ["${host}"]`}</Code> into /etc/docker/daemon.json and restart it.
    </Text>
  );
}
